"""ICVL: where to get it, and whether it is all there.

331,006 training lines, of which about 22 thousand are originals and the others rotated copies, and
1,596 test frames, 320×240, with 16 joints (Tang et al., Latent Regression Forest, CVPR 2014). No
licence text is known; do not pass it on.

1. Open https://labicvl.github.io/hand.html and fetch Training.tar.gz and Testing.tar.gz.
2. Unpack them into the folder icvl/ of the data folder (data/, or what HANDPOSE_DATA says), so that
   it has Training/labels.txt, Training/Depth/, Testing/test_seq_1.txt, Testing/test_seq_2.txt and
   Testing/Depth/.
3. Optional, reference points: center_trainset and center_testset under "Results" on
   https://github.com/mks0601/V2V-PoseNet_RELEASE, as center_train_refined.txt and
   center_test_refined.txt in a folder; open the set with centres=FOLDER.

    python -m data_scripts.icvl             # verify and print a summary
    python -m data_scripts.icvl --check     # the same; name what is missing or damaged, tell
                                            nothing else
    python -m data_scripts.icvl --all       # decode every frame

A training line without an image is named as missing; the loader leaves it out and says how many
there were.
"""

import sys
from collections import defaultdict

from data_scripts.support.checking import Inspection, run
from data_scripts.support.command import ended
from handpose_lib.datasets import icvl


def inspect(found: Inspection) -> None:
    """Count every label file, hold images against lines, decode a sample of each kind."""
    for part, place in icvl.FOLDERS.items():
        for name in icvl.LABELS[part]:
            labels = found.attempt(icvl.read_labels, found.root / place / name)
            if labels is None:
                continue
            found.count(f"lines of {name}", labels.count, icvl.COUNTS[name])
            depth, there, folders = found.root / place / "Depth", set(), defaultdict(list)
            for image in labels.names:
                folder, _, file = image.rpartition("/")
                folders[folder].append(file)
            for folder, files in folders.items():
                there.update(f"{folder}/{file}" for file in found.files(depth / folder, files))
            kinds = {
                "originals": icvl.is_original,
                "rotated copies": lambda image: not icvl.is_original(image),
            }
            for kind, belongs in (
                kinds if part == "train" else {"frames": lambda image: True}
            ).items():
                frames = [
                    (depth / image, joints)
                    for image, joints in zip(labels.names, labels.joints)
                    if belongs(image) and image in there
                ]
                found.count(f"{kind} of {name}", len(frames))
                found.decode(f"{kind} of {name}", frames, icvl.read_frame, icvl.CAMERA)
    for options in ({"split": "train"}, {"split": "train", "rotated": True}, {"split": "test"}):
        found.opened("icvl", **options)


if __name__ == "__main__":
    sys.exit(ended(lambda: run(__doc__ or "", "icvl", inspect)))
