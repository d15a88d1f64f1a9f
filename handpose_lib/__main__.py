"""Finds hands in depth images and writes their joints: `python -m handpose_lib --help`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from handpose_lib.errors import HandPoseError
from handpose_lib.own_images import presets

ABOUT = """\
Finds the hands in depth images and predicts the 3D positions of their 21 joints.

    python -m handpose_lib depth.png --camera d435
    python -m handpose_lib recording/ --camera kinect_v2 --hand left
    python -m handpose_lib depth.npy --fx 611 --u0 319.5 --v0 239.5 --unit m

A depth image is a PNG or TIFF with one channel of 16 or 32 bits, an NPY, or an NPZ. Of a folder,
all depth images are taken. 0, NaN, infinity and 65535 mean that nothing was measured.
"""
AFTER = """\
files, in the folder of --out, for each image NAME:
  NAME_hand.png     the image with the skeletons
  NAME_hand.html    points and skeleton in 3D, to turn in a browser (with plotly.min.js beside it)
  NAME_hand.csv     one row per joint: pixel, position in mm (x right, y down, z away)
  NAME_hand.json    the same with camera, measures, and what they say about the image

The network learned from rendered hands alone. Read what the command says about its answer: the
joints are no measurements.

exit code: 0 if every image has an answer, 1 if one was refused, 2 for wrong parameters
"""
OPTIONS: dict[str, tuple[str, str]] = {
    "camera": ("NAME", "the kind of camera; --cameras lists them: " + ", ".join(presets.PRESETS)),
    "intrinsics": ("FILE", "instead of --camera: a JSON file with the camera's fx, fy, u0, v0"),
    "fx": ("PIXELS", "instead of --camera: focal length along u"),
    "fy": ("PIXELS", "focal length along v (default: that of --fx)"),
    "u0": ("PIXELS", "principal point along u, usually near the middle of the image"),
    "v0": ("PIXELS", "principal point along v"),
    "unit": ("UNIT", "what a value of 1 means: mm, cm, m, or a number of mm (default: whole numbers"
             " as the camera has them, floating ones by their size)"),
    "hand": ("SIDE", "right, left, or either: try both (default: either)"),
    "find": ("WAY", "how the hand is found: detector, or nearest object (default: detector)"),
    "hands": ("N", "how many hands to look for, up to 4 (default: 1)"),
}  # fmt: skip
"""Option → what stands for its value, and its help. All are checked as the notebook's are."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer for every image of a command line; return the exit code."""
    given = _parser().parse_args(arguments)
    if given.cameras:
        return _list_cameras()
    if given.image is None:
        _say("give a depth image or a folder, or --help", error=True)
        return 2
    # Here, so that --help does not wait for torch and the networks.
    import matplotlib

    matplotlib.use("Agg")
    from handpose_lib.own_images import answers, reading, settings

    names = {"unit": "unit_mm"}
    stated = {
        names.get(name, name): value
        for name in ("image", *OPTIONS, "point")
        if (value := getattr(given, name)) is not None
    }
    try:
        chosen = settings.check(stated)
        assert chosen.image is not None
        images, others = reading.images(chosen.image)
        out = Path(given.out).expanduser()
        out.mkdir(parents=True, exist_ok=True)
    except (HandPoseError, OSError) as error:
        _say(_options(str(error)), error=True)
        return 2
    if others:
        _say(f"{len(others)} other files of the folder are left out")
    refused = 0
    stems = [path.stem for path in images]
    for path in images:
        # Two files that differ in their ending alone get names that differ.
        name = path.stem if stems.count(path.stem) == 1 else path.name.replace(".", "_")
        try:
            stored = reading.frame(path, chosen)
            found = answers.answer(stored.frame, chosen, stored.unit_mm)
            written = _write(found, out, name)
        except HandPoseError as error:
            _say(_options(str(error)), error=True)
            refused += 1
            continue
        except OSError as error:
            _say(f"{out}: cannot be written ({error.strerror}); give another --out", error=True)
            return 1
        _tell(path, found, stored.says, written)
    _say("\n" + answers.trust())
    return 1 if refused else 0


def _tell(path: Path, found: Any, says: str, written: Path) -> None:
    """Print what was found in one image."""
    from handpose_lib.own_images import answers

    _say(f"\n{path}: {says}")
    for remark in found.remarks:
        _say(f"  {remark}")
    for number, hand in enumerate(found.hands, start=1):
        x, y, z = hand.joints.mean(0).tolist()
        _say(f"  hand {number}, {hand.side}, at {x:.0f}, {y:.0f}, {z:.0f} mm:"
             f" {answers.summary(hand)}")  # fmt: skip
        for sentence in hand.says:
            _say(f"    - {sentence}")
    _say(f"  written: {written}_hand.png, .html, .csv, .json")


def _write(found: Any, out: Path, name: str) -> Path:
    """Write the four files of an answer, each whole or not at all; return their common path."""
    import matplotlib.pyplot as plt
    import plotly.offline

    from handpose_lib.io import storage
    from handpose_lib.own_images import report
    from handpose_lib.teaching import figures, own_image

    figures.style()
    storage.write_text(out / f"{name}_hand.csv", report.csv([found]))
    storage.write_json(out / f"{name}_hand.json", report.json_value(found))
    figure = own_image.overlay(found)
    with storage.temporary_file(out / f"{name}_hand.png") as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    plt.close(figure)
    script = out / "plotly.min.js"
    if not script.exists():
        storage.write_text(script, plotly.offline.get_plotlyjs())
    parts = [
        own_image.space(found, number).to_html(
            full_html=False, include_plotlyjs=script.name if number == 0 else False
        )
        for number in range(len(found.hands))
    ]
    page = "\n".join(
        ['<!doctype html><html lang="en"><meta charset="utf-8"><title>hand</title>', *parts]
    )
    storage.write_text(out / f"{name}_hand.html", page + "</html>\n")
    return out / name


def _list_cameras() -> int:
    for name, preset in presets.PRESETS.items():
        _say(f"{name}: {preset.title}")
        for view in preset.views:
            _say(f"    {view.width}×{view.height}: fx {view.fx:.1f}, fy {view.fy:.1f},"
                 f" u0 {view.u0:.1f}, v0 {view.v0:.1f}; unit {preset.unit_mm:g} mm")  # fmt: skip
        _say(f"    source: {preset.source}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m handpose_lib",
        description=ABOUT,
        epilog=AFTER,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("image", nargs="?", help="a depth image, or a folder of them")
    for name, (stands, text) in OPTIONS.items():
        parser.add_argument(f"--{name}", metavar=stands, help=text)
    parser.add_argument(
        "--point", nargs=2, metavar=("U", "V"), help="take the hand at this pixel of the image"
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        default="handpose",
        help="folder of the files (default: handpose)",
    )
    parser.add_argument("--cameras", action="store_true", help="list the cameras, and stop")
    return parser


def _options(message: str) -> str:
    """Return a message about parameters with the names that the command has for them."""
    return message.replace("parameter unit_mm", "parameter unit")


def _say(text: str, error: bool = False) -> None:
    print(text, file=sys.stderr if error else sys.stdout, flush=True)


if __name__ == "__main__":
    sys.exit(main())
