"""Make a synthetic data set in the file format of a real one, for the same loader to read.

    python data_scripts/make_synthetic.py --size smoke       # 2,448 frames, seconds
    python data_scripts/make_synthetic.py --size laptop      # 20,043 frames, some minutes, about 1 GB

MSRA's layout: 9 subjects × 17 gestures, `P0/1/000000_depth.bin` and `joint.txt`. Subject P8 is the one
to hold out: its proportions lie outside those of the others. `synthetic.json` holds everything that
determines the content. The folder appears under its name only when it is complete; made again with the
same settings, nothing happens.

Within a gesture's folder the frames are what the distribution says: `wide_view` mixes the named gesture
with relaxed, half-closed and free poses, seen from everywhere, with a sensor's noise; `wide` adds what
surrounds a hand; `msra_like` shows the gesture itself, clean. MSRA's files do not tell left from right:
all hands are right ones. Beside each `joint.txt` lies a `centre.txt` with one reference point per frame,
as a network that locates the hand would give it: the mean of the joints, some millimetres off.
"""

import argparse
import dataclasses
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import torch
from tqdm.auto import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout works without installation

from handpose_lib import paths, provenance, synth  # noqa: E402
from handpose_lib.camera import xyz_to_uvd  # noqa: E402
from handpose_lib.datasets import msra  # noqa: E402
from handpose_lib.datasets.base import SYNTHETIC, read_settings  # noqa: E402
from handpose_lib.errors import DataError, HandPoseError  # noqa: E402

PROTOCOLS = ("msra",)
SIZES = {"smoke": 16, "laptop": 131}
"""Frames per gesture and subject."""
WINDOW_MM = 300.0
"""Side of the cube around the hand of which a frame keeps the pixels: more than any crop needs."""
BATCH = 64


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocol", choices=PROTOCOLS, default="msra", help="whose format, camera and skeleton")
    parser.add_argument("--size", choices=SIZES, default="smoke", help="how many frames")
    parser.add_argument("--frames-per-gesture", type=int, help="overrides what --size says")
    parser.add_argument("--distribution", choices=synth.DISTRIBUTIONS, default="wide_view", help="what the frames show")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder to make (default: synthetic/PROTOCOL-SIZE in the data folder)")
    parser.add_argument("--force", action="store_true", help="replace a synthetic set made with other settings")
    chosen = parser.parse_args(arguments)
    out = (chosen.out or paths.data() / "synthetic" / f"{chosen.protocol}-{chosen.size}").resolve()
    frames = SIZES[chosen.size] if chosen.frames_per_gesture is None else chosen.frames_per_gesture
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that being stopped cleans up as well
    try:
        made = make(out, settings(frames, chosen.distribution, chosen.seed), chosen.force)
    except HandPoseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{out}: {'made' if made else 'already there'}, {frames * len(msra.SUBJECTS) * len(msra.GESTURES):,} frames")
    return 0


def settings(frames_per_gesture: int, distribution: str, seed: int) -> dict:
    """Everything that determines the content, as `synthetic.json` keeps it. Errors: fewer than one frame."""
    if frames_per_gesture < 1 or frames_per_gesture > 999_999:
        raise HandPoseError(f"{frames_per_gesture} frames per gesture: accepted are 1 to 999999, six digits in a name")
    return {
        "synthetic": True,
        "protocol": "msra",
        "frames_per_gesture": frames_per_gesture,
        "subjects": len(msra.SUBJECTS),
        "gestures": list(msra.GESTURES),
        "hold_out": "P8",
        "hands": "right",
        "seed": seed,
        "distribution": {"name": distribution, **dataclasses.asdict(right_hands(distribution))},
        "window_mm": WINDOW_MM,
        "code": provenance.digest([__file__, *provenance.closure(["handpose_lib.synth", "handpose_lib.datasets.msra"])]),
    }


def right_hands(distribution: str) -> "synth.Distribution":
    """The distribution without left hands, which MSRA's files could not name."""
    return dataclasses.replace(synth.DISTRIBUTIONS[distribution], left=0.0)


def make(out: Path, wanted: dict, force: bool = False) -> bool:
    """Make the set at `out`; False if it is there already. Errors: something else is there, no right to write."""
    wanted = json.loads(json.dumps(wanted))
    if out.exists() and not _may_replace(out, wanted, force):
        return False
    partial = out.with_name(f".{out.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # what a killed run left
        partial.mkdir(parents=True)
        write(partial, wanted)
        if out.exists():
            shutil.rmtree(out)
        os.replace(partial, out)
    except OSError as error:
        raise DataError(f"{out} cannot be written ({error.strerror or error}); accepted is a folder with room for it, "
                        "set by --out or HANDPOSE_DATA") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return True


def write(root: Path, wanted: dict) -> None:
    """Render every frame into `root`, in MSRA's layout, and say what they are in `synthetic.json`."""
    count = wanted["frames_per_gesture"]
    total = count * len(msra.SUBJECTS) * len(msra.GESTURES)
    with tqdm(total=total, desc="rendering", unit="frame", smoothing=0.1) as bar:
        for subject in msra.SUBJECTS:
            for number, gesture in enumerate(msra.GESTURES):
                place = root / f"P{subject}" / gesture
                place.mkdir(parents=True)
                first = (subject * len(msra.GESTURES) + number) * count
                joints, centres = [], []
                for start in range(0, count, BATCH):
                    rows = range(start, min(start + BATCH, count))
                    rendered = render([first + row for row in rows], subject, gesture, wanted)
                    for row, depth in zip(rows, keep_window(rendered.depth, rendered.joints, rendered.camera)):
                        msra.write_frame(place / msra.frame_name(row), depth.numpy())
                    joints.append(rendered.joints)
                    centres.append(rendered.centre[:, None])
                    bar.update(len(rows))
                msra.write_joints(place / "joint.txt", torch.cat(joints).numpy())
                msra.write_joints(place / msra.CENTRES, torch.cat(centres).numpy(), points=1)
    text = json.dumps(wanted, indent=1, ensure_ascii=False)
    (root / SYNTHETIC).write_text(text + "\n", encoding="utf-8", newline="\n")


def render(indices: list[int], subject: int, gesture: str, wanted: dict) -> "synth.Rendered":
    """The frames of these numbers: one subject, and the poses that the distribution mixes with the gesture."""
    return synth.frames(indices, seed=wanted["seed"], protocol=wanted["protocol"], subjects=[subject], gesture=gesture,
                        distribution=right_hands(wanted["distribution"]["name"]))


def keep_window(depth: torch.Tensor, joints: torch.Tensor, camera) -> torch.Tensor:
    """Depth (B, H, W) with 0 outside the cube around the joints (B, J, 3): MSRA stores cut-out windows.

    What is in front of the cube stays, as it hides the hand; what is behind it becomes background.
    """
    centre = joints.mean(1)
    uv = xyz_to_uvd(centre, camera)[:, :2]
    half = WINDOW_MM / 2 * torch.tensor([camera.fx, camera.fy]) / centre[:, 2:]
    v = torch.arange(depth.shape[1])[:, None] - uv[:, 1, None, None]
    u = torch.arange(depth.shape[2]) - uv[:, 0, None, None]
    inside = (u.abs() <= half[:, 0, None, None]) & (v.abs() <= half[:, 1, None, None])
    return depth * (inside & (depth <= centre[:, 2, None, None] + WINDOW_MM / 2))


def _may_replace(out: Path, wanted: dict, force: bool) -> bool:
    """Whether what is at `out` has to be made anew. Errors: it is not ours to replace."""
    if not (out / SYNTHETIC).is_file():
        raise DataError(f"{out}: is there and has no {SYNTHETIC}; accepted is a new folder or a synthetic set")
    found = read_settings(out)
    if found == wanted:
        return False
    if not force:
        different = sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key))
        raise DataError(f"{out}: made with other settings ({', '.join(different)}); accepted are the same settings, "
                        "another --out, or --force to replace it")
    return True


if __name__ == "__main__":
    sys.exit(main())
