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

from handpose_lib import datasets, evaluation, papers, paths, prepare, synth, training
from handpose_lib.errors import DataError, HandPoseError
from handpose_lib.evaluation import labels
from handpose_lib.frames import Crops, DepthFrame
from handpose_lib.io.storage import read_tensors
from handpose_lib.papers.method import Method, Recipe
from handpose_lib.real_hands import fitting
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
OFF_MM = 30.0
"""A frame with a larger mean joint error counts as off."""
REAL = "sr305"
"""The data set of real frames with labels by hand."""


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
    found = []
    for start in range(0, frames, batch):
        crops = synth.crops(
            range(start, min(start + batch, frames)),
            seed=seed,
            distribution=world,
            subjects=list(subjects),
            cube=CUBE,
        )
        assert crops.joints is not None  # rendered frames have joints
        found.append(_distance(answers(network, crops), crops.joints))
    return torch.cat(found)


def _distance(joints: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    return (joints - true).norm(dim=-1).mean(-1)


def test(network: Method, frames: int = 1024) -> dict[str, Any]:
    """Return what is known about the network, as plain JSON values.

    The name of a world   mean, median and 90 % quantile in mm of the errors in it
    fit                   see `test_fit`
    real                  see `test_real`; None without the real frames
    """
    found: dict[str, Any] = {"frames": frames, "persons": len(OTHERS)}
    for name, world in WORLDS.items():
        error = errors(network, world, frames).double()
        found[name] = {
            "mean_mm": error.mean().item(),
            "median_mm": error.median().item(),
            "q90_mm": error.quantile(0.9).item(),
        }
    return {**found, "fit": test_fit(network, frames // 2), "real": test_real(network)}


def test_fit(network: Method, frames: int) -> dict[str, Any]:
    """Return how good fits are whose remaining distance is small, and the others, in `FIELD`.

    share of the frames; network_mm and fitted_mm: mean errors; off: share with a fitted error above
    `OFF_MM`.
    """
    crops = synth.crops(
        range(frames), seed=2, distribution="field", subjects=list(OTHERS), cube=CUBE
    )
    assert crops.joints is not None  # rendered frames have joints
    answer = answers(network, crops)
    fitted = fitting.fit(crops, answer)
    before, after = (_distance(joints, crops.joints) for joints in (answer, fitted.joints))
    return {
        "frames": frames,
        "accepted_mm": fitting.ACCEPTED_MM,
        **{
            name: {
                "share": rows.double().mean().item(),
                "network_mm": before[rows].mean().item(),
                "fitted_mm": after[rows].mean().item(),
                "off": (after[rows] > OFF_MM).double().mean().item(),
            }
            for name, rows in (("accepted", fitted.accepted), ("others", ~fitted.accepted))
            if rows.any()
        },
    }


def test_real(network: Method) -> dict[str, Any] | None:
    """Return the errors on the labelled real frames, cubes at the mean of the labelled joints.

    For the network alone and with accepted fits: mean in mm, raw and after the best translation of
    each frame. noise_mm: distance between two labellings. None without the frames.
    """
    place = paths.data() / "real_frames" / REAL
    marked = [labels.read(path) for path in label_files()]
    if not place.is_dir() or not marked:
        return None
    dataset = datasets.open(REAL)
    frames = dataset.frames(range(len(dataset)))
    truth = [labels.joints(one, frames) for one in marked]
    crops = prepare.batch(centred(frames, truth[0]), CUBE, "stored")
    answer = answers(network, crops)
    fitted = fitting.fit(crops, answer)
    mixed = torch.where(fitted.accepted[:, None, None], fitted.joints, answer)
    found: dict[str, Any] = {
        "frames": len(truth[0].ids),
        "joints": int(truth[0].known.sum()),
        "accepted": fitted.accepted.double().mean().item(),
    }
    for name, joints in (("network", answer), ("with_fits", mixed)):
        score = labels.score(joints, truth[0])
        found[name] = {"mean_mm": score.raw_mm, "aligned_mm": score.aligned_mm}
    if len(truth) > 1:
        found["noise_mm"] = labels.disagreement(truth[0], truth[1]).raw_mm
    return found


def label_files() -> list[Path]:
    """Return the committed labels of the real frames, the first labelling first."""
    return sorted((paths.project() / "book" / "tables" / "labels").glob(f"{REAL}-*.json"))


def centred(frames: list[DepthFrame], truth: labels.Joints) -> list[DepthFrame]:
    """Return the labelled frames of right hands, centred at the mean of the labelled joints."""
    middle = dict(zip(truth.ids, truth.xyz.nanmean(1), strict=True))
    return [
        replace(frame, centre=middle[frame.id].to(frame.depth), hand="right")
        for frame in frames
        if frame.id in middle
    ]


@torch.no_grad()
def answers(network: Method, crops: Crops) -> torch.Tensor:
    """Return the joints (B, 21, 3) mm that a network predicts."""
    network.eval()
    return network.decode(network(network.encode(crops)), crops)


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
    Errors: `DataError` if it is missing, changed, damaged or of another architecture.
    """
    source = paths.records() / KIND if folder is None else Path(folder)
    record = records.load(source, KIND)
    records.verify(record)
    try:
        found = create(**record["config"])
        found.load_state_dict(read_tensors(source / "weights.safetensors"))
    except (TypeError, RuntimeError, HandPoseError) as error:
        raise DataError(
            f"{source} holds no network of this architecture: {str(error).splitlines()[0]}"
        ) from error
    return Pretrained(found.eval(), record)
