"""DexYCB: where to get it, and whether it is all there.

582 thousand frames of 10 persons who grasp objects, seen by eight RealSense cameras, 640×480, with
21 joints (Chao et al., DexYCB: A Benchmark for Capturing Hand Grasping of Objects, CVPR 2021, which
the authors ask to cite). Licence: CC BY-NC 4.0, for research without commercial purpose.

1. Open https://dex-ycb.github.io and follow its links to the archives: one for each person, such as
   20200709-subject-01.tar.gz, and calibration.tar.gz. They take more than 100 GB. Models of objects
   and bop annotations are not needed.
2. Unpack them into the folder dexycb/ of the data folder (data/, or what HANDPOSE_DATA says), so
   that it has 20200709-subject-01/ to 20201022-subject-10/ and calibration/. Colour pictures
   (color_*.jpg) may be deleted.

    python -m data_scripts.dexycb             # verify and print a summary
    python -m data_scripts.dexycb --check     # the same; name what is missing or damaged, tell
                                              nothing else
    python -m data_scripts.dexycb --all       # decode every frame

Frames without a visible hand, or without an annotation, have −1 for all joints; the loader leaves
them out and says how many there were.
"""

import sys

from data_scripts.support.checking import Inspection, run
from data_scripts.support.command import ended
from handpose_lib.datasets import dexycb


def inspect(found: Inspection) -> None:
    """Count sequences and frames, hold images against labels, decode a sample of each view."""
    cameras = {
        view: found.attempt(dexycb.read_camera, dexycb.camera_file(found.root, view))
        for view in dexycb.VIEWS
    }
    sequences = found.attempt(dexycb.read_sequences, found.root, found.synthetic)
    if sequences is None:
        return
    hands = [sequence.hand for sequence in sequences]
    found.count("sequences", len(sequences), dexycb.SEQUENCES * len(dexycb.PERSONS))
    found.count("sequences of right hands", hands.count("right"))
    found.count("sequences of left hands", hands.count("left"))
    train = [s for s in sequences if dexycb.belongs(s, "train", "sequence")]
    found.count(
        "frames of the training split by sequence",
        sum(sequence.frames for sequence in train) * len(dexycb.VIEWS),
        dexycb.COUNTS["train, split by sequence"],
    )
    for view, serial in zip(dexycb.VIEWS, dexycb.SERIALS):
        frames, empty = [], 0
        for sequence in sequences:
            place, rows = sequence.place / serial, range(sequence.frames)
            images = set(found.files(place, map(dexycb.frame_name, rows)))
            labels = found.files(place, map(dexycb.label_name, rows), dexycb.ends_as_zip)
            for row in rows:
                if dexycb.label_name(row) not in labels:
                    continue
                joints = found.attempt(dexycb.read_joints, place / dexycb.label_name(row))
                if joints is None:
                    continue
                if not joints.isfinite().all():
                    empty += 1
                elif dexycb.frame_name(row) in images:
                    frames.append((place / dexycb.frame_name(row), joints))
        found.count(f"view {view}: frames with a hand", len(frames))
        found.count(f"view {view}: frames without a hand", empty)
        camera = cameras[view]
        if camera is not None:
            found.decode(f"view {view}", frames, dexycb.read_frame, camera)
    for split_by in dexycb.SPLITS_BY:
        found.opened("dexycb", split="test", split_by=split_by)


if __name__ == "__main__":
    sys.exit(ended(lambda: run(__doc__ or "", "dexycb", inspect)))
