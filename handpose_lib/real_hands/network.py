"""The network for real depth images: its architecture, its training in stages, its test.

    found = network.load()                                          # the book's
    joints = found.joints(depth, camera, centre, hands)             # (B, 21, 3) mm

The architecture is JGR-P2O's, with narrower maps on smaller crops. Each stage of the training
continues from the weights that the record keeps of the stage before, with frames of its own.
"""

from collections.abc import Iterable
from dataclasses import replace
from math import pi
from pathlib import Path
from typing import Any

import torch

from handpose_lib import evaluation, papers, paths, synth, training
from handpose_lib.errors import DataError, HandPoseError
from handpose_lib.frames import Crops
from handpose_lib.io.storage import read_tensors
from handpose_lib.papers.method import Method, Recipe
from handpose_lib.real_hands.windows import Windows
from handpose_lib.results import records
from handpose_lib.results.pretrained import Pretrained

KIND = "real_hands"
"""The kind of its record, and the name of its folder."""
METHOD, VARIANT, SKELETON = "jgr_p2o", "paper", "msra21"
CONFIG = {"channels": 96, "size": 64, "clip_targets": False}
"""What differs from the paper's configuration. Targets are not clipped, because a hand at the
border of its cube has joints outside.
"""
CUBE = 250.0
"""Side of the cube in mm, in training and in use."""
SUBJECTS, OTHERS = range(64), range(200, 216)
"""Persons of the training, and those of the test."""
WORLDS = {
    "all": synth.FIELD,
    "free": replace(synth.FIELD, tabletop=0.0, held=0.0, near=0.0, beside=0.0, second=0.0, box=0.0),
    "flat on a table": replace(synth.FIELD, tabletop=1.0, touching=1.0, flattened=1.0),
}
"""Parts of the world in which the test measures the error."""


def create(method: str = METHOD, **config: Any) -> Method:
    """Return the untrained network. `config` replaces fields of `CONFIG`.

    `method`: another paper's, for comparison; its configuration is then `config` alone.
    """
    options = {**CONFIG, **config} if method == METHOD else config
    return papers.create(method, SKELETON, VARIANT, **options)


def recipe(frames: int, rate: float = 2e-3, batch: int = 32, parts: int = 1) -> Recipe:
    """Return how a stage is trained on so many `frames`, from a peak `rate` to zero.

    The frames are turned by every angle already when they are rendered, and their reference points
    stray: augmentation adds scale alone.
    """
    epochs = max(1, round(frames / 16_000))
    return Recipe(
        KIND,
        "adamw",
        lr=rate,
        weight_decay=1e-3,
        weight_decay_mode="decoupled",
        schedule="cosine",
        warmup=200,
        warmup_from=0.05,
        batch=batch,
        epochs=epochs,
        epoch_frames=-(-frames // epochs),
        augmentation={"rotation": (-pi, pi), "scale": (0.85, 1.2), "translation": 0.0},
        cube_train=(CUBE,),
        cube_test=CUBE,
        centre="stored",
        average=0.999,
        parts=parts,
    )


def train(
    network: Method,
    out: Path | str,
    how: Recipe,
    *,
    seed: int = 0,
    workers: int = 1,
    device: str = "auto",
    distribution: synth.Distribution | str = "field",
) -> training.History:
    """Train a stage in place and return its history; `out` is as in `training.fit`.

    `seed`: another one for each stage, so that no frame is used twice. `workers`: processes that
    render.
    """
    assert how.epoch_frames is not None
    size = network.config.size if hasattr(network.config, "size") else 64
    with Windows(
        how.epoch_frames,
        CUBE,
        size,
        distribution=distribution,
        subjects=SUBJECTS,
        seed=seed,
        workers=workers,
    ) as source:
        return training.fit(network, source, how, out, seed=seed, device=device)


@torch.no_grad()
def errors(
    network: Method,
    world: synth.Distribution,
    frames: int,
    *,
    seed: int = 1,
    subjects: Iterable[int] = OTHERS,
    batch: int = 64,
) -> torch.Tensor:
    """Return the mean joint error of each of `frames` rendered frames, (frames,) mm.

    The persons are none of the training, and the cubes lie at reference points that stray as in
    training.
    """
    network.eval()
    found = []
    for start in range(0, frames, batch):
        crops = synth.crops(
            range(start, min(start + batch, frames)),
            seed=seed,
            distribution=world,
            subjects=list(subjects),
            cube=CUBE,
        )
        found.append(_error(network, crops))
    return torch.cat(found)


def _error(network: Method, crops: Crops) -> torch.Tensor:
    assert crops.joints is not None  # rendered frames have joints
    joints = network.decode(network(network.encode(crops)), crops)
    return (joints - crops.joints).norm(dim=-1).mean(-1)


def test(network: Method, frames: int = 1024) -> dict[str, Any]:
    """Return mean, median and 90 % quantile in mm of the errors in each of `WORLDS`."""
    found: dict[str, Any] = {"frames": frames, "persons": len(OTHERS)}
    for name, world in WORLDS.items():
        error = errors(network, world, frames).double()
        found[name] = {
            "mean_mm": error.mean().item(),
            "median_mm": error.median().item(),
            "q90_mm": error.quantile(0.9).item(),
        }
    return found


def save(
    network: Method,
    stages: list[dict[str, Any]],
    curve: list[dict[str, Any]],
    held_out: dict[str, Any],
    out: Path | str | None = None,
) -> Path:
    """Write weights in 16 bits and a record into a folder (None: the book's) and return it."""
    record = records.create(
        KIND,
        [__name__],
        device=evaluation.device_facts(next(network.parameters()).device),
        config={name: getattr(network.config, name) for name in CONFIG},
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        training={
            "frames": sum(stage["frames"] for stage in stages),
            "seconds": sum(stage["seconds"] for stage in stages),
            "stages": stages,
        },
        curve=curve,
        held_out=held_out,
    )
    return records.write(record, out, weights=network).folder


def load(folder: Path | str | None = None) -> Pretrained:
    """Return the trained network, in evaluation mode on the CPU, and its record.

    `folder`: that of the record, None for the book's.
    Errors: `DataError` if it is missing, damaged or of another architecture.
    """
    source = paths.records() / KIND if folder is None else Path(folder)
    record = records.load(source, KIND)
    try:
        found = create(**record["config"])
        found.load_state_dict(read_tensors(source / "weights.safetensors"))
    except (TypeError, RuntimeError, HandPoseError) as error:
        raise DataError(
            f"{source} holds no network of this architecture: {str(error).splitlines()[0]}"
        ) from error
    return Pretrained(found.eval(), record)
