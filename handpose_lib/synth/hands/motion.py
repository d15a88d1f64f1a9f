"""Hands that move: the joints of a synthetic sequence, frame after frame, without rendering
anything.

`synth.frames` draws every frame on its own; here a hand goes smoothly from pose to pose, as in a
recording. For whatever concerns labels alone: neighbouring frames are alike, and one subject
follows another.
"""

from collections.abc import Iterable

import torch

from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.synth import hashing
from handpose_lib.synth.generator import SETUPS
from handpose_lib.synth.hands import hand, poses

STEPS = 48
"""Frames from one pose to the next: a second or two of a recording."""
TURNS = (2.0, 1.0, 3.0)
"""Ranges in rad of a hand's turns about its axes."""


def joints(count: int, setup: str = "nyu", subject: int = 0, seed: int = 0) -> torch.Tensor:
    """(N, J, 3) mm in the camera frame: `count` frames of one subject, in the skeleton of the
    setup and at its distances.

    Errors: an unknown setup, no frame.
    """
    imitated = SETUPS[one_of("setup", setup, SETUPS)]
    if count < 1:
        raise HandPoseError(f"{count} frames: accepted is at least 1")
    keys = hashing.keys(seed, range(count // STEPS + 2))
    person = hand.subjects([subject] * len(keys))
    angles = poses.sample(hashing.uniform(keys, "angles", poses.UNIFORMS), person)
    u = hashing.uniform(keys, "place", 6)
    near, far = imitated.distance
    z = near + (far - near) * u[:, 2]
    side = (u[:, :2] - 0.5) * z[:, None] * u.new_tensor([0.3, 0.2])
    turns = (u[:, 3:] - 0.5) * u.new_tensor(TURNS)
    stations = poses.assemble(angles, torch.cat((side, z[:, None]), 1), *turns.unbind(1))
    return _posed(subject, _between(stations, count)).joints(imitated.skeleton)


def sequence(counts: Iterable[int], setup: str = "nyu", seed: int = 0) -> torch.Tensor:
    """Several subjects one after the other, so many frames of each: (sum of `counts`, J, 3) mm."""
    return torch.cat(
        [joints(count, setup, number, seed + number) for number, count in enumerate(counts)]
    )


def _between(stations: torch.Tensor, count: int) -> torch.Tensor:
    """Poses on the way from station to station, at rest in each: half a cosine."""
    place = torch.arange(count) / STEPS
    at = place.long()
    share = (0.5 - 0.5 * torch.cos(torch.pi * (place - at)))[:, None]
    return stations[at] * (1 - share) + stations[at + 1] * share


def _posed(subject: int, pose: torch.Tensor) -> hand.Hand:
    return hand.posed(hand.subjects([subject] * len(pose)), pose)
