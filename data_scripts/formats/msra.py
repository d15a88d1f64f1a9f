"""MSRA's layout: 9 subjects × 17 gestures, `P0/1/000000_depth.bin` and `joint.txt`.

Subject P8 is the one to hold out: its proportions lie outside those of the others. Within a
gesture's folder the frames are what the distribution says: `wide_view` mixes the named gesture with
relaxed, half-closed and free poses, seen from everywhere, with a sensor's noise; `wide` adds what
surrounds a hand; `msra_like` shows the gesture itself, clean. MSRA's files do not tell left from
right: all hands are right ones. Beside each `joint.txt` lies a `centre.txt` with one reference
point per frame, as a network that locates the hand would give it: the mean of the joints, some
millimetres off.
"""

from collections.abc import Callable
from pathlib import Path

import torch

from data_scripts.formats import Format, batches, distribution
from handpose_lib import synth
from handpose_lib.camera import xyz_to_uvd
from handpose_lib.datasets import msra

WINDOW_MM = 300.0
"""Side of the cube around the hand of which a frame keeps the pixels: more than any crop needs."""
BATCH = 64


def facts(frames: int) -> dict:
    return {
        "frames_per_gesture": frames,
        "subjects": len(msra.SUBJECTS),
        "gestures": list(msra.GESTURES),
        "hold_out": "P8",
        "window_mm": WINDOW_MM,
    }


def total(settings: dict) -> int:
    return settings["frames_per_gesture"] * len(msra.SUBJECTS) * len(msra.GESTURES)


def write(root: Path, settings: dict, advance: Callable[[int], object]) -> None:
    """Render every frame into `root`."""
    count = settings["frames_per_gesture"]
    for subject in msra.SUBJECTS:
        for number, gesture in enumerate(msra.GESTURES):
            place = root / f"P{subject}" / gesture
            place.mkdir(parents=True)
            first = (subject * len(msra.GESTURES) + number) * count
            joints, centres = [], []
            for rows in batches(count, BATCH):
                rendered = render([first + row for row in rows], subject, gesture, settings)
                for row, depth in zip(
                    rows, keep_window(rendered.depth, rendered.joints, rendered.camera)
                ):
                    msra.write_frame(place / msra.frame_name(row), depth.numpy())
                joints.append(rendered.joints)
                centres.append(rendered.centre[:, None])
                advance(len(rows))
            msra.write_joints(place / "joint.txt", torch.cat(joints).numpy())
            msra.write_joints(place / msra.CENTRES, torch.cat(centres).numpy(), points=1)


def render(indices: list[int], subject: int, gesture: str, settings: dict) -> synth.Rendered:
    """The frames of these numbers: one subject, and the poses that the distribution mixes with the
    gesture.
    """
    return synth.frames(
        indices,
        seed=settings["seed"],
        setup="msra",
        subjects=[subject],
        gesture=gesture,
        distribution=distribution(settings["distribution"]["name"], left=False),
    )


def keep_window(depth: torch.Tensor, joints: torch.Tensor, camera) -> torch.Tensor:
    """Depth (B, H, W) with 0 outside the cube around the joints (B, J, 3): MSRA stores cut-out
    windows.

    What is in front of the cube stays, as it hides the hand; what is behind it becomes background.
    """
    centre = joints.mean(1)
    uv = xyz_to_uvd(centre, camera)[:, :2]
    half = WINDOW_MM / 2 * torch.tensor([camera.fx, camera.fy]) / centre[:, 2:]
    v = torch.arange(depth.shape[1])[:, None] - uv[:, 1, None, None]
    u = torch.arange(depth.shape[2]) - uv[:, 0, None, None]
    inside = (u.abs() <= half[:, 0, None, None]) & (v.abs() <= half[:, 1, None, None])
    return depth * (inside & (depth <= centre[:, 2, None, None] + WINDOW_MM / 2))


FORMAT = Format(
    "msra",
    "frames for each gesture of a subject",
    {"smoke": 16, "laptop": 131},
    999_999,
    facts,
    total,
    write,
)
