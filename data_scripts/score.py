"""Score a file of predictions for a test set, and warn of what is probably wrong with it.

    python -m data_scripts.score mine.txt --dataset nyu
    python -m data_scripts.score mine.txt --dataset msra --labels path/to/cvpr15_MSRAHandGestureDB
    python -m data_scripts.score mine.mat --dataset itop --labels labels.mat

A file is a text with one frame per line and three numbers per joint, with or without image names, a
MATLAB array, or a zip of one of them. The numbers are u v in pixels and depth, or x y z; unit and
kind are recognised from the values. Labels come from the files of `fetch_published.py` (nyu, icvl,
itop), from a file of the same kinds, or from the folder of the set, whose test split must be what
was predicted (msra: all nine subjects, with the faulty frames). Warnings go to the error output;
the exit code is 1 only if nothing could be scored.
"""

import argparse
import sys
from pathlib import Path

import torch

from data_scripts.support.command import ended
from handpose_lib import datasets, published, skeleton
from handpose_lib.errors import HandPoseError

OPTIONS = {"msra": {"split": "all", "skip_faulty": False}}
"""How the folder of a set is opened, if not by its test split."""
WITHIN_MM = (10, 20, 30, 40, 50, 80)
"""Thresholds of the printed success rates."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="file of predictions")
    parser.add_argument(
        "--dataset",
        required=True,
        choices=published.BENCHMARKS,
        help="test set with the camera, joints and labels",
    )
    parser.add_argument(
        "--labels", type=Path, help="a file of labels, or the folder of the data set"
    )
    parser.add_argument(
        "--space", choices=("uvd", "xyz"), help="kind of the numbers (default: recognised)"
    )
    chosen = parser.parse_args(arguments)
    try:
        score = published.score_file(
            chosen.file, chosen.dataset, labels(chosen.dataset, chosen.labels), chosen.space
        )
    except HandPoseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(report(chosen.file, chosen.dataset, score))
    for text in score.warnings:
        print(f"warning: {text}", file=sys.stderr)
    return 0


def labels(name: str, place: Path | None) -> Path | torch.Tensor | None:
    """Return the labels at `place`: a file, or the joints (N, J, 3) mm of the set in a folder.

    None stands for the published labels of the set.
    Errors: `HandPoseError` if `place` is None and the set has no published labels.
    """
    if place is None and published.BENCHMARKS[name].labels is None:
        raise HandPoseError(
            f"{name} has no published labels of its test frames; accepted is --labels with a file"
            " or a folder"
        )
    if place is None or not place.is_dir():
        return place
    return datasets.open(name, place, **OPTIONS.get(name, {"split": "test"})).joints()


def report(file: Path, name: str, score: published.Score) -> str:
    """Return the printed table: how the file was read, and its errors."""
    read_as = {
        "uvd": "u v d in pixels and ",
        "xyz": f"x y z, y {'up' if score.y_up else 'down'}, in ",
    }[score.space]
    measures, hand = score.measures, skeleton.get(published.BENCHMARKS[name].skeleton)
    at = [measures["thresholds_mm"].index(t) for t in WITHIN_MM]
    rows = [
        ("mean joint error", f"{measures['mean_joint_error_mm']:.3f} mm"),
        *((f"  {part}", f"{mean:.3f} mm") for part, mean in score.parts.items()),
        *(
            (f"  {joint}", f"{mean:.3f} mm")
            for joint, mean in zip(hand.joints, measures["per_joint_mm"])
        ),
        ("joints within 100 mm", f"{measures['map_10cm']:.3%}"),
        *(
            (
                f"frames within {t} mm",
                (
                    f"{measures['success_rate_worst'][i]:.1%} by the worst joint, "
                    f"{measures['success_rate_mean'][i]:.1%} by the mean joint"
                ),
            )
            for t, i in zip(WITHIN_MM, at)
        ),
    ]
    width = max(len(label) for label, _ in rows)
    head = (
        f"{file}: {score.frames:,} frames of {name}, read as"
        f" {read_as}{'metres' if score.unit_mm > 1 else 'mm'}"
    )
    return "\n".join([head, *(f"{label:<{width}}  {value}" for label, value in rows)])


if __name__ == "__main__":
    sys.exit(ended(main))
