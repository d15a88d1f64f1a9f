"""Measure how the errors of the book's trained networks depend on one factor at a time.

    python pipeline/experiments/stress.py                             # minutes on one CPU core
    python pipeline/experiments/stress.py --frames 32 --out stress    # a quick trial

Nothing is trained. All settings use the same synthetic frames of a held-out person, and only one
factor changes from one setting to the next, so that errors can be compared frame by frame.
`record.json` holds the mean error of each frame in mm for every setting of every factor. If the
data folder has real frames of an SR305, it also holds what can be measured there without labels.
The factors are:

place      degrees between the optical axis and the direction to the hand, which keeps its pose,
           depth and orientation
turned     the same, but the hand is rotated about the camera, so that the camera sees the same side
           of it and only its image is distorted
light      strength of a structured-light sensor: shadows, lost borders, ragged edges, coarse steps
holes      share of the image without measurement
centre     the method that finds the centre of the crop
offset     distance in mm of the crop from the mean of the joints, in a direction drawn per frame
"""

import argparse
import hashlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from handpose_lib import datasets, evaluation, paths, prepare, synth
from handpose_lib.camera import xyz_to_uvd
from handpose_lib.errors import HandPoseError
from handpose_lib.evaluation import label_free, plausibility
from handpose_lib.frames import Crops
from handpose_lib.hand_detection import trained
from handpose_lib.hand_detection.centre_refiner import Refine
from handpose_lib.results import pretrained, records
from handpose_lib.results.pretrained import Pretrained
from handpose_lib.synth import hashing
from handpose_lib.synth.hands.hand import Hand
from handpose_lib.synth.scene import raycast, sensors

SUBJECT, SEED, SETUP = 8, 21, "msra"
CLEAN = replace(synth.DISTRIBUTIONS["wide_view"], sensors={"ideal": 1.0}, holes=0.0)
SENSOR = 0.5
"""Strength of the time-of-flight sensor, if the sensor is not the factor."""
FACTORS: dict[str, tuple[Any, ...]] = {
    "place": (0.0, 8.0, 16.0),
    "turned": (0.0, 8.0, 16.0),
    "light": (0.0, 0.5, 1.0, 2.0, 3.0),
    "holes": (0.0, 0.05, 0.1, 0.2, 0.4),
    "centre": ("true", "stored", "mass", "refined"),
    "offset": (0.0, 5.0, 10.0, 20.0, 40.0),
}
"""Factor → its settings."""
ROOM = 8
"""Smallest distance in pixels of a joint from the border of the image."""


class Scene:
    """`count` frames of the held-out person.

    All joints stay in the image in every setting of `place` and `turned`.
    """

    def __init__(self, count: int):
        self.camera = synth.SETUPS[SETUP].camera
        chosen: list[int] = []
        first = 0
        farthest = max(FACTORS["place"])
        while len(chosen) < count:
            indices = range(first, first + 32)
            given = synth.frames(indices, SEED, SETUP, CLEAN, subjects=[SUBJECT])
            ahead = given.posed.moved(_ahead(given.joints) - given.joints.mean(1))
            kept = torch.stack(
                [
                    self._inside(moved(ahead, indices, farthest, turned).joints())
                    for turned in (False, True)
                ]
            ).all(0)
            chosen += [index for index, stays in zip(indices, kept.tolist()) if stays]
            first += 32
        self.indices = chosen[:count]

    def batches(self, size: int = 32) -> Iterator[tuple[list[int], synth.Rendered]]:
        """Yield the frames in batches: their indices, and the frames as rendered."""
        for start in range(0, len(self.indices), size):
            indices = self.indices[start : start + size]
            yield indices, synth.frames(indices, SEED, SETUP, CLEAN, subjects=[SUBJECT])

    def crops(
        self,
        factor: str,
        indices: Sequence[int],
        given: synth.Rendered,
        cube: float,
        refine: Refine,
    ) -> dict[Any, Crops]:
        """Return the crops of these frames in each setting of a factor."""
        key, true = hashing.keys(SEED, indices), given.joints.mean(1)
        aside = given.centre - true  # error of the stored centre, the same in every setting
        if factor in ("place", "turned"):
            ahead = given.posed.moved(_ahead(given.joints) - true)
            hands = {
                degrees: moved(ahead, indices, degrees, factor == "turned")
                for degrees in FACTORS[factor]
            }
            return {
                degrees: self._cut(
                    self._sensed(raycast.depth(hand.solids(), self.camera), key),
                    hand.joints(),
                    hand.joints().mean(1) + aside,
                    cube,
                )
                for degrees, hand in hands.items()
            }
        if factor == "light":
            seen = {
                strength: sensors.structured_light(given.depth, self.camera, key, strength)
                for strength in FACTORS[factor]
            }
            return {
                strength: self._cut(depth, given.joints, given.centre, cube)
                for strength, depth in seen.items()
            }
        if factor == "holes":
            seen = {share: sensors.holes(given.depth, key, share) for share in FACTORS[factor]}
            return {
                share: self._cut(depth, given.joints, given.centre, cube)
                for share, depth in seen.items()
            }
        depth = self._sensed(given.depth, key)
        if factor == "centre":
            found = {
                "true": true,
                "stored": given.centre,
                "mass": prepare.locate(depth, self.camera, cube=cube),
                "refined": prepare.locate(depth, self.camera, cube=cube, refine=refine),
            }
        else:
            way = torch.nn.functional.normalize(2 * hashing.uniform(key, "way", 3) - 1, dim=1)
            found = {distance: true + distance * way for distance in FACTORS["offset"]}
        return {
            value: self._cut(depth, given.joints, centre, cube) for value, centre in found.items()
        }

    def _sensed(self, depth: torch.Tensor, key: np.ndarray) -> torch.Tensor:
        return sensors.time_of_flight(depth, self.camera, key, SENSOR)

    def _cut(
        self, depth: torch.Tensor, joints: torch.Tensor, centre: torch.Tensor, cube: float
    ) -> Crops:
        return prepare.crop(depth, self.camera, centre, cube, joints)

    def _inside(self, joints: torch.Tensor) -> torch.Tensor:
        """Return (B,), whether every joint is at least `ROOM` away from the border."""
        u, v = xyz_to_uvd(joints, self.camera)[..., :2].unbind(-1)
        return (
            (u > ROOM)
            & (u < self.camera.width - ROOM)
            & (v > ROOM)
            & (v < self.camera.height - ROOM)
        ).all(1)


def moved(hand: Hand, indices: Sequence[int], degrees: float, turned: bool) -> Hand:
    """Return hands from the optical axis moved by `degrees` to the left (even index) or right.

    A hand keeps its depth and orientation. If `turned`, it is rotated about the camera instead, and
    keeps its distance and the side that the camera sees.
    """
    side = torch.tensor([-1.0 if index % 2 == 0 else 1.0 for index in indices])
    angle = side * torch.tensor(degrees).deg2rad()
    if not turned:
        middle = hand.joints().mean(1)
        shift = torch.zeros_like(middle)
        shift[:, 0] = middle[:, 2] * angle.tan()
        return hand.moved(shift)
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    about_y = (cosine, zero, sine, zero, zero + 1, zero, -sine, zero, cosine)
    about = torch.stack(about_y, -1).reshape(-1, 3, 3)
    return hand.mapped(lambda points: points @ about.mT)


def _ahead(joints: torch.Tensor) -> torch.Tensor:
    """Return the points (B, 3) on the optical axis at the depth of the hands."""
    depth = joints.mean(1)[:, 2]
    return torch.stack((torch.zeros_like(depth), torch.zeros_like(depth), depth), -1)


@torch.inference_mode()
def errors(
    networks: Mapping[str, Pretrained], scene: Scene, refine: Refine
) -> dict[str, dict[str, dict[str, torch.Tensor]]]:
    """Return the mean error (N,) of each frame in mm: factor → setting → network → errors."""
    found: dict[str, dict[str, dict[str, list[torch.Tensor]]]] = {
        factor: {str(value): {name: [] for name in networks} for value in values}
        for factor, values in FACTORS.items()
    }
    for indices, given in scene.batches():
        for cube in {known.record["protocol"]["cube"] for known in networks.values()}:
            fitting = {
                name: known.network
                for name, known in networks.items()
                if known.record["protocol"]["cube"] == cube
            }
            for factor in FACTORS:
                for value, crops in scene.crops(factor, indices, given, cube, refine).items():
                    assert crops.joints is not None
                    for name, network in fitting.items():
                        joints = network.decode(network(network.encode(crops)), crops)
                        found[factor][str(value)][name].append(
                            (joints - crops.joints).norm(dim=-1).mean(1)
                        )
    return {
        factor: {
            value: {name: torch.cat(parts) for name, parts in by.items()}
            for value, by in values.items()
        }
        for factor, values in found.items()
    }


def real(networks: Mapping[str, Pretrained]) -> dict | None:
    """Return the measures of each network on the SR305 frames, None if they are missing."""
    if not (paths.data() / "real_frames" / "sr305").exists():
        return None
    data = datasets.open("sr305")
    frames, found = data.frames(range(len(data))), {}
    for name, known in networks.items():
        cube = known.record["protocol"]["cube"]
        joints, centre = label_free.predict(known.network, frames, cube)
        seen = label_free.measures(joints, frames, centre, cube, known.network.skeleton)
        lengths = plausibility.bone_lengths(joints, known.network.skeleton)
        found[name] = {
            "on_hand": _text(seen["on_hand"], 3),
            "median_to_surface_mm": _text(seen["to_surface"].median(1).values),
            "bone_length_variation": round((lengths.std(0) / lengths.mean(0)).mean().item(), 4),
        }
    return {
        "data": data.name,
        "frames": len(frames),
        "near_pixels": label_free.NEAR,
        "networks": found,
    }


def check(record: records.Record, frames: int = 8) -> dict:
    """Give a record the digest of the present code, if the errors of its first frames are the same.

    Errors: networks with other weights than those of the record, an error that differs.
    """
    networks = {name: pretrained.load(name) for name in record["networks"]}
    for name, known in networks.items():
        if _weights(known.record.folder) != record["networks"][name]["weights"]:
            raise HandPoseError(
                f"{name} has other weights than those that were evaluated: evaluate it again"
            )
    frames = min(frames, record["synthetic"]["frames"])
    for factor, values in errors(networks, Scene(frames), trained.load("centre_refiner")).items():
        for value, by in values.items():
            for name, found in by.items():
                then = torch.tensor(
                    [float(e) for e in record["errors_mm"][factor][value][name].split()[:frames]]
                )
                # Half of the last digit, and the rounding of float32.
                if (found - then).abs().max() > 0.06:
                    raise HandPoseError(
                        f"{name}, {factor} {value}: the errors are no longer those of the record:"
                        " evaluate it again"
                    )
    return {"frames": frames}


def _weights(folder: Path) -> str:
    return hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()


def _text(values: torch.Tensor, decimals: int = 1) -> str:
    """Return one number per frame, in one line."""
    return " ".join(f"{value:.{decimals}f}" for value in values.tolist())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--frames", type=int, default=256, help="synthetic frames, the same for every setting"
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        default=pretrained.names(),
        help="networks; default: all that come with the book",
    )
    parser.add_argument("--out", type=Path, help="folder; default: the book's records")
    chosen = parser.parse_args(arguments)
    out = chosen.out or paths.records() / "stress"
    if chosen.frames < 2:
        raise HandPoseError(f"{chosen.frames} frames: accepted are at least 2")

    start = time.process_time()
    networks = {name: pretrained.load(name) for name in chosen.methods}
    scene = Scene(chosen.frames)
    found = errors(networks, scene, trained.load("centre_refiner"))
    record = records.create(
        "stress",
        ["pipeline/experiments/stress.py"],
        synthetic={
            "subject": SUBJECT,
            "seed": SEED,
            "protocol": SETUP,
            "distribution": "wide_view",
            "frames": len(scene.indices),
            "sensor": SENSOR,
        },
        networks={
            name: {
                "record": known.record.key,
                "dimensions": _dimensions(known),
                "weights": _weights(known.record.folder),
            }
            for name, known in networks.items()
        },
        refinement=_weights(paths.records() / "centre_refiner"),
        errors_mm={
            factor: {
                value: {name: _text(e) for name, e in by.items()} for value, by in values.items()
            }
            for factor, values in found.items()
        },
        real=real(networks),
        device=evaluation.device_facts("cpu"),
        seconds=round(time.process_time() - start, 1),
    )
    records.write(record, out)
    print(
        f"{len(scene.indices)} frames, {sum(map(len, FACTORS.values()))} settings, {len(networks)}"
        f" networks: {record['seconds']:.0f} s of the processor; kept in {out.name}"
    )
    return 0


def _dimensions(known: Pretrained) -> int:
    """Return 3 for a network whose input is a volume of voxels, 2 for an image."""
    blank = torch.zeros(1, 8, 8)
    crops = prepare.crop(
        blank,
        synth.SETUPS[SETUP].camera,
        torch.tensor([[0.0, 0.0, 400.0]]),
        known.record["protocol"]["cube"],
    )
    return known.network.encode(crops).ndim - 2


if __name__ == "__main__":
    sys.exit(main())
