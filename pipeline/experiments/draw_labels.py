"""Draw large pictures of the hands of a labels file, with pixel grids, with and without the labels.

    python pipeline/experiments/draw_labels.py --labels book/tables/labels/sr305-first.json --out P
    python pipeline/experiments/draw_labels.py --labels FILE --out P --bare     # nothing but hands
    python pipeline/experiments/draw_labels.py --labels FILE --second OTHER.json

Of each frame it writes <frame>-relief.png and <frame>-depth.png, without labels, and
<frame>-labels.png. With `--bare` only the first two are written: for a second person, who must not
see the first labels. `--zoom` sets the picture's pixels per pixel of the depth image. `--second`
prints the differences between two labellings in mm; no pictures are drawn then unless `--out` is
given. `--lengths` prints the length of every labelled bone in mm, which should be alike in all
frames of one person.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from handpose_lib import datasets
from handpose_lib.errors import HandPoseError
from handpose_lib.evaluation import labels
from handpose_lib.evaluation.labels import SKELETON, Joints, Labels
from handpose_lib.teaching import label_pictures


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the pictures that the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--labels", type=Path, required=True, help="labels file")
    parser.add_argument("--second", type=Path, help="labels file of another person")
    parser.add_argument("--out", type=Path, help="folder for the pictures")
    parser.add_argument("--bare", action="store_true", help="draw no labels")
    parser.add_argument("--zoom", type=int, default=8, help="size of a pixel (default: 8)")
    parser.add_argument("--lengths", action="store_true", help="print lengths of bones in mm")
    parser.add_argument("--root", type=Path, help="folder of the data set")
    chosen = parser.parse_args(arguments)
    try:
        first = labels.read(chosen.labels)
        frames = datasets.open(first.dataset, root=chosen.root)
        if chosen.out:
            draw(first, frames, chosen.out, chosen.bare, chosen.zoom)
        if chosen.lengths:
            print(lengths(labels.joints(first, frames)))
        if chosen.second:
            other = labels.joints(labels.read(chosen.second), frames)
            print(differences(labels.disagreement(labels.joints(first, frames), other)))
    except HandPoseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def draw(marks: Labels, frames: datasets.Dataset, out: Path, bare: bool, zoom: int) -> None:
    """Write the pictures of all labelled frames to the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for i in range(len(frames)):
        frame = frames[i]
        if frame.id not in marks.frames:
            continue
        found = marks.frames[frame.id]
        box = marks.windows.get(frame.id) or label_pictures.window(frame, found)
        kinds = [("relief", None), ("depth", None)] + ([] if bare else [("labels", found)])
        for name, shown in kinds:
            style = "depth" if name == "depth" else "relief"
            figure = label_pictures.picture(frame, box, shown, style, zoom)
            figure.savefig(out / f"{frame.id.replace('/', '-')}-{name}.png", dpi=label_pictures.DPI)


def lengths(placed: Joints) -> str:
    """Return a table of the lengths of the bones in mm, a bone per line, frames as columns."""
    lines = [f"size of the hand {placed.size:.3f}"]
    for child, parent in SKELETON.bones:
        length = (placed.xyz[:, child] - placed.xyz[:, parent]).norm(dim=-1)
        cells = ["   ." if value != value else f"{value:4.0f}" for value in length.tolist()]
        lines.append(f"{SKELETON.joints[child]:>11}" + "".join(cells))
    return "\n".join(lines)


def differences(found: labels.Errors) -> str:
    """Return the differences between two labellings in mm as text."""
    lines = [
        f"{found.joints} joints in both: mean {found.raw_mm:.1f} mm, median {found.median_mm:.1f};"
        f" after the best translation {found.aligned_mm:.1f}, median"
        f" {found.aligned_median_mm:.1f}"
    ]
    lines += [f"{joint:>11} {value:5.1f}" for joint, value in found.per_joint_mm.items()]
    lines += [f"{name:>24} {value:5.1f}" for name, value in found.per_frame_mm.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
