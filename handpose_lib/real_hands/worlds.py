"""What each part of the world `synth.FIELD` buys: the same short training, with one part left out.

    found = worlds.load()                               # name of a training → its record
    found["without tables"]["held_out"]["all"]["mean_mm"]

All trainings have the same network, number of frames and recipe, and differ in the world that they
render. `pipeline/experiments/compare_worlds.py` makes them, next to the record of the network for
real depth images. They keep no weights.
Source: the groups of factors follow Zhao et al., Analyzing the synthetic-to-real domain gap in 3D
hand pose estimation, CVPR 2025 (forearm, pose coverage, object occlusion, image statistics).
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from handpose_lib import evaluation, paths, synth
from handpose_lib.errors import one_of
from handpose_lib.papers.method import Method
from handpose_lib.real_hands import network as network_
from handpose_lib.results import records
from handpose_lib.results.records import Record

GROUPS: dict[str, dict[str, Any]] = {
    "tables": {"tabletop": 0.0},
    "objects": {"held": 0.0, "near": 0.0, "beside": 0.0, "box": 0.0},
    "wall and body": {"wall": 0.0, "person": 0.0},
    "second hand": {"second": 0.0},
    "forearm": {"forearm": 0.0, "sleeve": 0.0},
    "sizes of hands": {"hand_size": (1.0, 1.0), "hand_thickness": (1.0, 1.0)},
    "image border": {"border": 0.0},
    "camera errors": dict.fromkeys(
        (
            *("dark", "shadow", "rim", "ragged", "flying", "glancing", "smoothing", "filling"),
            *("dropouts", "grain", "steps"),
        ),
        0.0,
    ),
    "views": {"in_plane": (-45.0, 45.0), "yaw": (-60.0, 60.0), "pitch": (-50.0, 50.0)},
    "poses": {"poses": {"gesture": 1.0}},
    "stray centres": {"centre_error": 0.0, "strays": 0.0},
}
"""Parts of the world → the fields that leave them out. Without "views" the hands are turned as in
MSRA, and without "poses" they show its gestures.
"""
FIELD, NARROW = "field", "without all of these"
FRAMES, CONFIG = 16_000, {"channels": 64}
"""Of a training: number of frames, and what differs from the configuration of the network."""


@dataclass(frozen=True)
class Training:
    """A training of the comparison: the part that its world lacks (`FIELD`: none), the seed of its
    frames and weights, their number, and the method.
    """

    lacks: str = FIELD
    seed: int = 0
    frames: int = FRAMES
    method: str = network_.METHOD

    @property
    def name(self) -> str:
        """Return its name, which is that of its folder."""
        parts = [self.lacks if self.lacks in (FIELD, NARROW) else f"without {self.lacks}"]
        parts += [self.method] * (self.method != network_.METHOD)
        parts += [f"{self.frames} frames"] * (self.frames != FRAMES)
        return ", ".join([*parts, *([f"seed {self.seed}"] * (self.seed != 0))])

    @property
    def world(self) -> synth.Distribution:
        """Return what it renders."""
        if self.lacks == FIELD:
            return synth.FIELD
        if self.lacks == NARROW:
            off: dict[str, Any] = {}
            for fields in GROUPS.values():
                off |= fields
            return replace(synth.FIELD, **off)
        return replace(synth.FIELD, **GROUPS[one_of("part of the world", self.lacks, GROUPS)])


TRAININGS = (
    Training(),
    Training(NARROW),
    *(Training(seed=seed) for seed in (1, 2)),
    *(Training(group) for group in GROUPS),
    Training(frames=FRAMES // 2),
    Training(frames=FRAMES // 4),
    Training(method="densereg"),
    Training(method="residual_attention"),
)
"""All trainings, the first ones first. The seeds of `FIELD` tell how much chance there is."""


def folder(training: Training, root: Path | str | None = None) -> Path:
    """Return the folder of its record; `root`: that of all of them, None for the book's."""
    root = paths.records() / network_.KIND / "worlds" if root is None else Path(root)
    return root / training.name.replace(" ", "_").replace(",", "")


def load(root: Path | str | None = None) -> dict[str, Record]:
    """Return the records of the trainings that have been made, by name, in order."""
    return {
        training.name: records.load(folder(training, root), network_.KIND)
        for training in TRAININGS
        if (folder(training, root) / "record.json").is_file()
    }


def save(
    training: Training,
    network: Method,
    facts: dict[str, Any],
    curve: list[dict[str, Any]],
    held_out: dict[str, Any],
    root: Path | str | None = None,
) -> Path:
    """Write the record of a training, without weights, and return its folder."""
    record = records.create(
        network_.KIND,
        [__name__],
        device=evaluation.device_facts(next(network.parameters()).device),
        config={"method": training.method, "lacks": training.lacks, **CONFIG},
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        training=facts,
        curve=curve,
        held_out=held_out,
    )
    return records.write(record, folder(training, root)).folder
