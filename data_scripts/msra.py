"""MSRA15: where to get it, and whether it is all there.

17 gestures of 9 subjects, about 76 thousand depth images of 320×240 with 21 joints
(Sun et al., Cascaded Hand Pose Regression, CVPR 2015, which the authors ask to cite). No licence
text is known; do not pass it on.

1. Open https://jimmysuen.github.io and choose "2015 MSRA Hand Gesture Dataset", or take the copy
   that L. Ge offers with the consent of Y. Wei:
   https://www.dropbox.com/s/bmx2w0zbnyghtp7/cvpr15_MSRAHandGestureDB.zip
2. Unpack cvpr15_MSRAHandGestureDB.zip, and put its folders P0 to P8 in the folder
   msra/ of the data folder (data/, or what HANDPOSE_DATA says).
3. Optional, reference points for the newer release: center.tar.gz under "Results" on
   https://github.com/mks0601/V2V-PoseNet_RELEASE; open the set with centres=FOLDER.

    python -m data_scripts.msra             # verify and print a summary
    python -m data_scripts.msra --check     # the same; name what is missing or damaged, tell
                                            nothing else
    python -m data_scripts.msra --all       # decode every frame

Two releases are in use, of 76,375 and 76,391 frames: predictions and reference points of one do not
fit the other. The summary says which one it is.
"""

import sys
from pathlib import Path

from data_scripts.support.checking import Inspection, run
from data_scripts.support.command import ended
from handpose_lib.datasets import msra


def inspect(found: Inspection) -> None:
    """Count every subject, hold frames against labels, decode a sample of each subject."""
    counts = []
    for subject in msra.SUBJECTS:
        frames, lines = [], 0
        if not (found.root / f"P{subject}").is_dir():
            found.fault(f"missing: {found.root / f'P{subject}'}")
            counts.append(0)
            continue
        for gesture in msra.GESTURES:
            place = found.root / f"P{subject}" / gesture
            joints = found.attempt(msra.read_joints, place / "joint.txt")
            if joints is None:
                continue
            names = [msra.frame_name(i) for i in range(len(joints))]
            there, lines = set(found.files(place, names, has_its_pixels)), lines + len(joints)
            faulty = () if found.synthetic else msra.FAULTY.get((subject, gesture), ())
            frames += [
                (place / name, joints[i])
                for i, name in enumerate(names)
                if name in there and i not in faulty
            ]
            for name in sorted({path.name for path in place.glob("*_depth.bin")} - set(names)):
                found.fault(f"{place / name}: has no line in joint.txt")
        counts.append(lines)
        found.count(f"lines of P{subject}", lines)
        found.decode(f"P{subject}", frames, msra.read_frame, msra.CAMERA)
    if not found.synthetic and tuple(counts) not in msra.RELEASES.values():
        found.fault(
            f"{found.root}: {sum(counts):,} frames; the releases have {' or '.join(msra.RELEASES)}"
        )
    found.opened("msra", split="all")


def has_its_pixels(path: Path, size: int) -> bool:
    """Whether a frame is as long as the window in its header needs."""
    with open(path, "rb") as file:
        header = file.read(msra.HEADER.size)
    if len(header) < msra.HEADER.size:
        return False
    left, top, right, bottom = msra.HEADER.unpack(header)[2:]
    return size == msra.HEADER.size + 4 * (right - left) * (bottom - top)


if __name__ == "__main__":
    sys.exit(ended(lambda: run(__doc__ or "", "msra", inspect)))
