"""HANDS2017, frame-based challenge: where to get it, and whether it is all there.

957,032 training frames of 5 persons and 295,510 test frames of 10, 640×480, with 21 joints
(Yuan et al., The 2017 Hands in the Million Challenge on 3D Hand Pose Estimation, arXiv 1707.02237,
and CVPR 2018). It is given on request; read the terms there, and do not pass it on.

1. Open http://icvl.ee.ic.ac.uk/hands17/challenge and ask the organisers for access as the page
   says.
2. Unpack training and frame into the folder hands17/ of the data folder
   (data/, or what HANDPOSE_DATA says), so that it has training/Training_Annotation.txt,
   training/images/, frame/BoundingBox.txt and frame/images/.
3. The test labels were given out later, also on request. Optional: put them, in the format of the
   training file and in the order of the boxes, at frame/Test_Annotation.txt. Without them the test
   frames come without joints.
4. Optional, reference points: center_train_refined.txt and center_test_refined.txt for HANDS2017
   under "Results" on
   https://github.com/mks0601/V2V-PoseNet_RELEASE, in a folder; open the set with centres=FOLDER.

    python -m data_scripts.hands17             # verify and print a summary
    python -m data_scripts.hands17 --check     # the same; name what is missing or damaged, tell
                                               nothing else
    python -m data_scripts.hands17 --all       # decode every frame

A listed frame without an image is named as missing; the loader leaves it out and says how many
there were. Boxes are read as left, top, width and height; the check says so if they reach out of
their images more than boxes do.
"""

import sys

import torch

from data_scripts.support.checking import Inspection, run
from data_scripts.support.command import ended
from handpose_lib.datasets import hands17

OUTSIDE = 0.01
"""So many boxes may reach out of the image: if the fields meant corners, a large share would seem
to.
"""


def inspect(found: Inspection) -> None:
    """Count both lists, check images and boxes against them, and decode a sample of each part."""
    for part, folder in hands17.PARTS.items():
        read = found.attempt(hands17.read_part, found.root, part)
        if read is None:
            continue
        names, joints, boxes = read
        place = found.root / folder / "images"
        found.count(f"lines of {folder}", len(names), hands17.COUNTS[part])
        there = set(found.files(place, names))
        if boxes is not None:
            look_at_boxes(found, boxes)
        if joints is None:
            found.rows.append((f"joints of {folder}", "none", ""))
        else:
            found.decode(
                folder,
                [(place / name, xyz) for name, xyz in zip(names, joints) if name in there],
                hands17.read_frame,
                hands17.CAMERA,
            )
    for split in ("train", "test"):
        found.opened("hands17", split=split)


def look_at_boxes(found: Inspection, boxes: torch.Tensor) -> None:
    """Add the share of boxes (N, 4) that reach out of the image, and a fault if it is too large."""
    right, bottom = (boxes[:, :2] + boxes[:, 2:]).unbind(1)
    share = (
        ((right > hands17.CAMERA.width + 1) | (bottom > hands17.CAMERA.height + 1))
        .double()
        .mean()
        .item()
    )
    found.rows.append(("boxes that reach out of the image", f"{share:.1%}", ""))
    if share > OUTSIDE:
        found.fault(
            f"{found.root / hands17.PARTS['test'] / hands17.BOXES}: {share:.0%} of the boxes reach"
            " out of the image; accepted are left, top, width and height, and these look like"
            " something else"
        )


if __name__ == "__main__":
    sys.exit(ended(lambda: run(__doc__ or "", "hands17", inspect)))
