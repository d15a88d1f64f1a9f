"""NYU: where to get it, and whether it is all there.

72,757 training and 8,252 test frames from three structured-light cameras, 640×480, with 36 joints
(Tompson et al., Real-Time Continuous Pose Recovery of Human Hands Using Convolutional Networks,
2014). No licence text is known; do not pass it on.

1. Open https://jonathantompson.github.io/NYU_Hand_Pose_Dataset.htm (formerly cims.nyu.edu/~tompson)
   and fetch nyu_hand_dataset_v2.zip. It is very large, mostly for colour pictures that are not
   needed here.
2. From its folder dataset/ put train/ and test/ in the folder nyu/ of the data folder
   (data/, or what HANDPOSE_DATA says). Needed are joint_data.mat and depth_1_*.png of both;
   depth_2_*.png and depth_3_*.png for the other views.
3. Optional, reference points for view 1: center_trainset and center_testset under "Results" on
   https://github.com/mks0601/V2V-PoseNet_RELEASE, as center_train_refined.txt and
   center_test_refined.txt in a folder; open the set with centres=FOLDER.

    python -m data_scripts.nyu             # verify and print a summary
    python -m data_scripts.nyu --check     # the same; name what is missing or damaged, tell nothing
                                           else
    python -m data_scripts.nyu --all       # decode every frame
"""

import sys

from data_scripts.support.checking import Inspection, run
from data_scripts.support.command import ended
from handpose_lib.datasets import nyu


def inspect(found: Inspection) -> None:
    """Count every part and view, hold frames against labels, decode a sample of each."""
    for part in nyu.PARTS:
        place = found.root / part
        for view in nyu.VIEWS:
            if view > 1 and not any(place.glob(f"depth_{view}_*.png")):
                found.rows.append((f"{part}, view {view}", "not there", ""))
                continue
            joints = found.attempt(nyu.read_joints, place / nyu.LABELS, view)
            if joints is None:
                break
            names = [nyu.frame_name(i, view) for i in range(len(joints))]
            there = set(found.files(place, names))
            found.count(f"frames in {part}, view {view}", len(there), nyu.COUNTS[part])
            frames = [(place / name, joints[i]) for i, name in enumerate(names) if name in there]
            found.decode(f"{part}, view {view}", frames, nyu.read_frame, nyu.CAMERA)
    found.opened("nyu", split="train")
    for subject in nyu.SUBJECTS:
        found.opened("nyu", split="test", subject=subject)


if __name__ == "__main__":
    sys.exit(ended(lambda: run(__doc__ or "", "nyu", inspect)))
