"""A hand detector for cluttered depth images: two small networks, applied one after the other.

    detector = trained.load("hand_detector")                        # the book's
    centre = prepare.locate(depth, camera, detector=detector)       # (B, 3) mm
    hand_detector.success_rates({"detector": detector, "mass": None})    # in cluttered frames

The first network is an hourglass on the whole image. As in DenseReg, it predicts a 2D heat map per
joint, and the median of their peaks is the position of the hand. In addition it predicts how far
the centre of the hand lies behind the surface in each pixel; the median over the joints is used.

The second network, the second look, sees cubes at the resolution of the camera, as DeepPrior++
corrects its reference points. It scores the candidates, which are the places where several joints
agree, and predicts the joints in the cube of the best one, averaged over several views.
Source: DenseReg, Section 4.3; DeepPrior++, Section 3. The depth map and the candidates are ours.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import pi
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn

from handpose_lib import evaluation, prepare, synth, training
from handpose_lib.camera import uvd_to_xyz, xyz_to_uvd
from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.frames import Crops
from handpose_lib.hand_detection.learning import learn
from handpose_lib.io.background import in_background
from handpose_lib.nets.blocks import Conv, conv_bn_relu, initialise
from handpose_lib.nets.bottleneck import Bottleneck
from handpose_lib.nets.heatmap import cones, peaks
from handpose_lib.nets.hourglass import Hourglass
from handpose_lib.prepare.locate import METHODS, NEAR, as_cameras

FOCAL = 120.0
"""Focal length in pixels to which images are subsampled, so that a hand has about the same size in
the images of all cameras.
"""
FAR = 1500.0
"""Depth in mm from which pixels are ignored."""
RELIEF = 60.0
"""Range in mm of the second input channel, depth relative to the surroundings: about the depth of a
hand, not that of a room.
"""
RADIUS = 2.5
"""Radius of the peak at a joint, in pixels of the maps."""
REACH = 200.0
"""Greatest distance in mm between the surface in a pixel and the hand's centre, along the axis."""
SURE = 0.5
"""Minimum peak of a joint that counts, relative to the highest peak."""

AGREE, PLACES = 120.0, 3
"""Distance in mm within which joints count as one hand; number of candidates besides the median."""
CUBE, SIZE = 300.0, 64
"""Side of the cube of a second look in mm, and of its image in pixels."""
VIEWS, ASIDE, PASSES = 8, 8.0, 3
"""Test-time augmentation: number of views, their shift along each axis in mm, and iterations.

The views are rotated, mirrored and shifted; each iteration starts at the median of the last one.
"""
ASTRAY, LOST = (30.0, 12.0), 75.0
"""Training of the second look: standard deviations in mm along each axis of the jitter of the
cubes, used in turn; distance in mm from which a cube counts as one without a hand.
"""

CLUTTERED = replace(synth.FIELD, second=0.0)
"""The world of the network for real depth images, without the other hand of the person, so that one
hand is meant.
"""
THINGS = ("wall", "person", "tabletop", "box", "held", "near", "beside")
"""Objects that a cluttered frame may show besides a hand: fields of `synth.Distribution`."""
SUBJECTS, HELD_OUT, OTHERS = (*range(8), *range(9, 64)), (8,), tuple(range(200, 216))
"""Persons of the training; the held-out person of the test; further held-out persons, because one
person may be easier or harder than others.
"""
WITHIN = 30.0
"""Distance in mm from the mean of the joints up to which a hand counts as found."""
NO_HAND = 0.5
"""Probability below which the detector's answer counts as no hand at all."""
CHUNK = 32
"""Frames that are rendered at once in training: each half of them is the mirror image of the other.
"""
FINE = 4
"""Every so many chunks, the images of the training have twice as many pixels in a row, as those of
newer cameras do.
"""


Locator = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""What `prepare.locate` takes as `detector`: depth images (B, H, W) mm and cameras (B, 4) → (B, 3).
"""


@dataclass(frozen=True)
class Config:
    """Configuration of the detector.

    joints     number of heat maps
    channels   of the hourglass
    depth      how often the hourglass halves its maps
    """

    joints: int = 21
    channels: int = 48
    depth: int = 4

    def __post_init__(self) -> None:
        for name, unit in (("joints", 1), ("channels", 8), ("depth", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < unit or value % unit:
                raise HandPoseError(f"{name} {value!r}: accepted are positive multiples of {unit}")


class Detector(nn.Module):
    """The detector that `prepare.locate` takes: depth images and cameras → hand centres."""

    def __init__(self, config: Config = Config()):
        super().__init__()
        self.config, c = config, config.channels
        self.stem = nn.Sequential(
            conv_bn_relu(2, c // 2, kernel=7, stride=2),
            Bottleneck(c // 2, c // 2),
            nn.MaxPool2d(2, ceil_mode=True),
            Bottleneck(c // 2, c),
        )
        self.hourglass = nn.Sequential(
            Hourglass(Bottleneck, c, config.depth, up_first=True),
            Bottleneck(c, c),
            conv_bn_relu(c, c),
        )
        self.joints, self.behind = Conv(c, config.joints, bias=True), Conv(c, 1, bias=True)
        initialise(self, 0.02)
        for head in (self.joints, self.behind):
            nn.init.zeros_(head.weight)  # all predictions start at 0
        self.look = _look(c, config.joints)
        # torch's annotations of `to` lack this argument.
        cast(Any, self).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def forward(self, depth: torch.Tensor, cameras: torch.Tensor) -> torch.Tensor:
        """Return the centre of the hand in each image, (B, 3) mm.

        `depth`: (B, H, W) mm, images of one size; `cameras`: (B, 4).
        """
        rows = torch.arange(len(depth), device=depth.device)
        found, sure = self._seen(depth, cameras, torch.stack(self.places(depth, cameras), 1))
        place = found[rows, sure.argmax(1)]  # (B, 3)

        view = torch.arange(VIEWS, device=depth.device)
        corners = torch.stack([(view >> axis) & 1 for axis in range(3)], 1) * 2 - 1  # (V, 3) of ±1
        turned, mirrored = (pi / 2) * (view % 4), torch.where(view < VIEWS // 2, 1.0, -1.0)
        for _ in range(PASSES):
            around = _in_front(place[:, None] + ASIDE * corners)
            centres, _ = self._seen(depth, cameras, around, turned, mirrored)
            place = centres.quantile(0.5, dim=1)  # the mean of the middle two
        return place

    def _seen(
        self,
        depth: torch.Tensor,
        cameras: torch.Tensor,
        places: torch.Tensor,
        turned: torch.Tensor | float = 0.0,
        mirrored: torch.Tensor | float = 1.0,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Take a second look at cubes at `places` (B, P, 3) mm.

        Returns the hand centres (B, P, 3) mm and the log odds (B, P) that the cube holds a hand.
        """
        many = places.shape[1]
        crops = prepare.crop(
            depth.repeat_interleave(many, 0),
            cameras.repeat_interleave(many, 0),
            places.flatten(0, 1),
            CUBE,
        )
        shape = (len(depth), many)
        crops = replace(
            crops,
            rotation=(crops.rotation.view(shape) + turned).flatten(),
            mirror=(crops.mirror.view(shape) * mirrored).flatten(),
        )
        place, sure = self.look_at(crops)
        centres = _in_front(prepare.from_view(place[:, None], crops))[:, 0]
        return centres.view(*shape, 3), sure.view(shape)

    @torch.no_grad()
    def odds(
        self,
        depth: torch.Tensor,
        cameras: torch.Tensor,
        centre: torch.Tensor,
        cube: float = CUBE,
    ) -> torch.Tensor:
        """Return the log odds (B,) that cubes at `centre` (B, 3) mm hold a hand.

        `depth`: (B, H, W) mm; `cameras`: (B, 4); `cube`: side in mm.
        """
        return self.look_at(prepare.crop(depth, cameras, centre, cube))[1]

    @torch.no_grad()
    def find(self, depth: torch.Tensor, cameras: torch.Tensor) -> torch.Tensor:
        """Return the same as `forward`, but without a second look."""
        return self.places(depth, cameras)[0]

    @torch.no_grad()
    def places(self, depth: torch.Tensor, cameras: torch.Tensor) -> list[torch.Tensor]:
        """Return the candidates for the hand centre, each (B, 3) mm.

        The first is the median of the joints; the `PLACES` others are where most joints agree.
        """
        steps = _steps(cameras)
        found = [depth.new_zeros(len(depth), 3) for _ in range(1 + PLACES)]
        for step in steps.unique().tolist():
            rows = (steps == step).nonzero()[:, 0]
            maps = self.maps(depth[rows], step)
            median = self.read(*maps, cameras[rows], step)
            for place, centre in zip(
                found, (median, *self.agreements(*maps, cameras[rows], step, median)), strict=True
            ):
                place[rows] = centre
        return found

    def maps(
        self, depth: torch.Tensor, step: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the maps of images (B, H, W) mm, of which every `step`-th row and column is used.

        heat     (B, J, h, w), the heat maps of the joints
        behind   (B, h, w), how far the hand centre lies behind the surface, in 100 mm
        seen     (B, h, w) mm, the nearest surface in each pixel of the maps; infinite if none

        Pixel X of a map covers the pixels of the image from 4 · step · X on.
        """
        thin = depth[:, ::step, ::step]
        x = self.hourglass(self.stem(image(thin)))
        away = thin.masked_fill((thin <= 0) | (thin >= FAR), torch.inf)
        # Padded up to whole pixels of the maps.
        seen = -F.max_pool2d(-F.pad(away[:, None], _up_to(away, 4), value=torch.inf), 4)[:, 0]
        return self.joints(x), self.behind(x)[:, 0], seen

    def joint_points(
        self, heat: torch.Tensor, behind: torch.Tensor, seen: torch.Tensor, step: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return what the maps say about each joint.

        First uvd (B, J, 3): the pixel of the joint, and the depth of the hand centre behind it in
        mm; then the height of the peak (B, J); then whether there is a surface (B, J).
        """
        place = peaks(heat, RADIUS)  # (B, J, 2)
        index = (
            place[..., 1].round().long() * heat.shape[-1] + place[..., 0].round().long()
        ).clamp(0, heat[0, 0].numel() - 1)
        depth = (seen + 100 * behind).flatten(1).gather(1, index)  # (B, J)
        return (
            torch.cat((_pixels(place, step), depth[..., None]), -1),
            heat.flatten(2).amax(2),
            depth.isfinite(),
        )

    def read(
        self,
        heat: torch.Tensor,
        behind: torch.Tensor,
        seen: torch.Tensor,
        cameras: torch.Tensor,
        step: int,
    ) -> torch.Tensor:
        """Return the median (B, 3) mm of the joints with a high peak, from the maps of a batch."""
        uvd, top, sees = self.joint_points(heat, behind, seen, step)
        highest = top.amax(1, keepdim=True)
        sure = top >= torch.minimum(SURE * highest, highest)  # the highest always counts
        uv = _median(uvd[..., :2], sure[..., None].expand(-1, -1, 2))
        z = _median(uvd[..., 2], sure & sees)
        # Without a measurement at any joint, the nearest surface in the image is used.
        z = torch.where(z.isnan(), seen.flatten(1).amin(1).clamp_max(FAR), z)
        uvd = _in_front(torch.cat((uv, z[:, None]), 1))
        return uvd_to_xyz(uvd[:, None], cameras, check=False)[:, 0]

    def agreements(
        self,
        heat: torch.Tensor,
        behind: torch.Tensor,
        seen: torch.Tensor,
        cameras: torch.Tensor,
        step: int,
        otherwise: torch.Tensor,
    ) -> list[torch.Tensor]:
        """Return `PLACES` points (B, 3) mm: where most joints agree, then where most others do.

        `otherwise` (B, 3) mm is used if no joint is left.
        """
        uvd, top, sees = self.joint_points(heat, behind, seen, step)
        points = uvd_to_xyz(_in_front(uvd.where(sees[..., None], FAR)), cameras, check=False)
        rows = torch.arange(len(points), device=points.device)
        weight, apart = top.clamp_min(0) * sees, torch.cdist(points, points)
        found = []
        for _ in range(PLACES):
            best = (
                (weight[:, None] * (1 - apart / AGREE).clamp_min(0))
                .sum(2)
                .masked_fill(weight <= 0, -1)
                .argmax(1)
            )
            near = apart[rows, best] < AGREE
            share = weight * near
            total = share.sum(1, keepdim=True)
            mean = (share[..., None] * points).sum(1) / total.clamp_min(1e-9)
            found.append(torch.where(total > 1e-6, mean, otherwise))
            weight = weight * ~near
        return found

    def loss(
        self, depth: torch.Tensor, cameras: torch.Tensor, joints: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Return the loss of the first network as scalars: 'heat' and 'depth' per frame, 'total'.

        `depth`: (B, H, W) mm, images of one focal length; `joints`: (B, J, 3) mm.
        """
        step = int(_steps(cameras)[0])
        heat, behind, seen = self.maps(depth, step)
        uv = xyz_to_uvd(joints, cameras, check=False)[..., :2]
        height, width = heat.shape[-2:]
        true = cones((uv / step - 1.5) / 4, height, width, RADIUS)
        offset = (joints.mean(1)[:, 2, None, None] - seen) / 100
        counts = (true > 0).any(1) & (offset.abs() < REACH / 100)
        apart = F.huber_loss(behind, offset.where(counts, 0), reduction="none", delta=0.1) * counts
        terms = {
            "heat": (heat - true).square().sum() / (2 * len(depth)),
            "depth": apart.sum() / len(depth),
        }
        return {**terms, "total": terms["heat"] + terms["depth"]}

    def look_at(self, crops: Crops) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the hand centres (B, 3) in the view, in half cube sides, and the log odds (B,).

        The log odds are those that the cube holds a hand.
        """
        joints, sure = self.look_for_joints(crops)
        return joints.mean(1), sure

    def look_for_joints(self, crops: Crops) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the joints (B, J, 3) in the view, in half cube sides, and the log odds (B,)."""
        said = self.look(prepare.image(crops, SIZE).contiguous(memory_format=torch.channels_last))
        return said[:, :-1].unflatten(1, (-1, 3)), said[:, -1]

    def look_loss(
        self,
        depth: torch.Tensor,
        cameras: torch.Tensor,
        joints: torch.Tensor,
        looks: int,
        generator: torch.Generator,
        empty: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Return the loss of the second network as scalars, of `looks` cubes in each image.

        The terms are 'place' (of the mean of the joints), 'joints' and 'sure' per cube; 'total' is
        their sum. The first cube is placed on a surface that stands out, the others at the hand
        with the jitter `ASTRAY`; all are rotated at random. Joints are predicted because a network
        that can tell the fingers apart predicts their mean better.

        `empty` (B, H, W) mm: the same scenes without the hands. One cube in each of them, at a
        surface that stands out or where the hand was, holds no hand.
        """
        frames = len(joints)
        joints, cameras = joints.repeat(looks, 1, 1), cameras.repeat(looks, 1)
        depth = depth.repeat(looks, 1, 1)
        mean = prepare.true_centre(joints)
        astray = torch.tensor(
            [ASTRAY[look % len(ASTRAY)] for look in range(looks)]
        ).repeat_interleave(frames)[:, None]
        at = mean + (astray * torch.randn(mean.shape, generator=generator)).to(mean)
        at[:frames] = _standing_out(depth[:frames], cameras[:frames], generator)
        away = (at - mean).norm(dim=1)
        near, hand = away < 1.5 * LOST, (away < LOST).to(mean)
        if empty is not None:
            out = _standing_out(empty, cameras[:frames], generator)
            out[::2] = at[frames : 2 * frames : 2] if looks > 1 else mean[:frames:2]
            at, mean = torch.cat((at, out)), torch.cat((mean, mean[:frames]))
            depth, joints = torch.cat((depth, empty)), torch.cat((joints, joints[:frames]))
            cameras = torch.cat((cameras, cameras[:frames]))
            near = torch.cat((near, torch.zeros_like(near[:frames])))
            hand = torch.cat((hand, torch.zeros_like(hand[:frames])))
        crops = prepare.augment(
            prepare.crop(depth, cameras, _in_front(at), CUBE), generator, translation=0.0
        )
        said, sure = self.look_for_joints(crops)

        def apart(said: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
            # (B, N, 3) in half cube sides → a scalar, in 10 mm
            error = (
                F.huber_loss(said * (CUBE / 20), true * (CUBE / 20), reduction="none")
                .sum(2)
                .mean(1)
            )
            return (error * near).sum() / near.sum().clamp_min(1)

        true = prepare.to_view(joints, crops)
        terms = {
            "place": apart(said.mean(1, keepdim=True), prepare.to_view(mean[:, None], crops)),
            "joints": apart(said, true),
            "sure": F.binary_cross_entropy_with_logits(sure, hand),
        }
        return {**terms, "total": terms["place"] + terms["joints"] + terms["sure"]}


def image(depth: torch.Tensor) -> torch.Tensor:
    """Return the input of the first network, nearness and relief: (B, H, W) mm → (B, 2, H, W).

    Nearness is 1 at the camera and 0 from `FAR` on or where nothing was measured. Relief is how
    much a pixel stands out from the mean around it, so that fingers are visible in front of a wall
    a metre behind them.
    """
    away = torch.where((depth > 0) & (depth < FAR), depth, FAR)[:, None]
    # Rows, then columns: 15 times fewer operations.
    around = F.avg_pool2d(away, (31, 1), stride=1, padding=(15, 0), count_include_pad=False)
    around = F.avg_pool2d(around, (1, 31), stride=1, padding=(0, 15), count_include_pad=False)
    return torch.cat((1 - away / FAR, ((around - away) / RELIEF).clamp(-1, 1)), 1)


# --- Training -----------------------------------------------------------------


@dataclass(frozen=True)
class _Batch:
    """Depth images (B, H, W) mm, cameras (B, 4), joints (B, J, 3) mm, and for the second look the
    scenes without the hands.
    """

    depth: torch.Tensor
    cameras: torch.Tensor
    joints: torch.Tensor
    empty: torch.Tensor | None

    def rows(self, rows: slice) -> _Batch:
        return self._each(lambda value: value[rows])

    def to(self, device: torch.device) -> _Batch:
        return self._each(lambda value: value.to(device))

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> _Batch:
        return _Batch(
            change(self.depth),
            change(self.cameras),
            change(self.joints),
            None if self.empty is None else change(self.empty),
        )

    def mirrored(self) -> _Batch:
        """Return the images that a camera sees in a mirror: left hands become right ones."""
        cameras, joints = self.cameras.clone(), self.joints.clone()
        cameras[:, 2] = self.depth.shape[-1] - 1 - cameras[:, 2]
        joints[..., 0] = -joints[..., 0]
        empty = None if self.empty is None else self.empty.flip(-1)
        return _Batch(self.depth.flip(-1), cameras, joints, empty)


def train(
    detector: Detector,
    frames: int = 20_000,
    *,
    seed: int = 0,
    batch: int = 8,
    rate: float = 2e-3,
    distribution: synth.Distribution | str = CLUTTERED,
    device: torch.device | str = "auto",
    progress: bool = True,
) -> list[dict]:
    """Train the first network in place on synthetic frames, each used once and once mirrored.

    `frames` counts both.

    Returns the curve of the loss in about fifty entries.
    """

    def loss(step: int, batch: _Batch) -> dict[str, torch.Tensor]:
        return detector.loss(batch.depth, batch.cameras, batch.joints)

    detector.train()
    return _train(
        detector, loss, frames, "detector", seed, batch, rate, distribution, device, progress
    )


def train_look(
    detector: Detector,
    frames: int = 8_000,
    *,
    seed: int = 0,
    batch: int = 8,
    looks: int = 4,
    rate: float = 3e-3,
    distribution: synth.Distribution | str = CLUTTERED,
    device: torch.device | str = "auto",
    progress: bool = True,
) -> list[dict]:
    """Train the second network in place, on `looks` cubes in each synthetic frame.

    The two trainings do not depend on each other. Returns the curve of the loss, as `train` does.
    """

    def loss(step: int, batch: _Batch) -> dict[str, torch.Tensor]:
        generator = training.generator(seed, "second look", step)
        return detector.look_loss(
            batch.depth, batch.cameras, batch.joints, looks, generator, batch.empty
        )

    detector.look.train()
    return _train(
        detector, loss, frames, "second look", seed, batch, rate, distribution, device, progress
    )


def _train(
    detector: Detector,
    loss: Callable[[int, _Batch], dict[str, torch.Tensor]],
    frames: int,
    purpose: str,
    seed: int,
    batch: int,
    rate: float,
    distribution: synth.Distribution | str,
    device: torch.device | str,
    progress: bool,
) -> list[dict]:
    device = evaluation.find_device(device)
    detector.to(device)
    steps = max(2, frames // batch)
    second = purpose == "second look"
    each = max(1, CHUNK // (2 * batch))  # batches in a chunk, and as many of mirror images

    def render(chunk: int) -> list[_Batch]:
        given = synth.frames(
            range(chunk * each * batch, (chunk + 1) * each * batch),
            seed=training.mix(seed, purpose, 0) % (1 << 31),
            setup="sr305" if chunk % FINE == FINE - 1 else "msra",
            distribution=distribution,
            subjects=SUBJECTS,
        )
        whole = _Batch(
            given.depth,
            as_cameras(given.camera, given.depth),
            given.joints,
            without_hands(given) if second else None,
        )
        parts = [whole.rows(slice(k, k + batch)) for k in range(0, each * batch, batch)]
        return [*parts, *(part.mirrored() for part in parts)]

    def batches() -> Iterator[_Batch]:
        chunks = in_background(render, range(-(-steps // (2 * each))))
        yield from itertools.islice(itertools.chain.from_iterable(chunks), steps)

    curve = learn(
        detector.look if second else detector,
        batches(),
        lambda step, batch: loss(step, batch.to(device)),
        steps=steps,
        rate=rate,
        name=purpose,
        progress=progress,
    )
    detector.eval()
    return curve


# --- Evaluation ---------------------------------------------------------------


@torch.no_grad()
def presence(
    detector: Detector,
    frames: int = 512,
    *,
    seed: int = 4,
    distribution: synth.Distribution | str = CLUTTERED,
    subjects: Iterable[int] = OTHERS,
    setup: str = "msra",
    batch: int = 32,
) -> dict[str, torch.Tensor]:
    """Return the probabilities (frames,) that the detector gives its own answers.

    'hand' for frames of held-out persons, 'none' for the same scenes without the hands.
    """
    found: dict[str, list[torch.Tensor]] = {"hand": [], "none": []}
    for start in range(0, frames, batch):
        given = synth.frames(
            range(start, min(start + batch, frames)),
            seed=seed,
            setup=setup,
            distribution=distribution,
            subjects=subjects,
        )
        for name, depth in (("hand", given.depth), ("none", without_hands(given))):
            cameras = as_cameras(given.camera, depth)
            found[name].append(detector.odds(depth, cameras, detector(depth, cameras)).sigmoid())
    return {name: torch.cat(parts) for name, parts in found.items()}


def without_hands(rendered: synth.Rendered) -> torch.Tensor:
    """Return the depth images (B, H, W) mm of the same scenes without hand and forearm.

    Sleeves and what the hand holds remain.

    Along each row the depth runs straight from the surface on the left of the hand to the one on
    its right; where one of them is missing, the other one is continued.
    """
    depth, width = rendered.depth, rendered.depth.shape[-1]
    pixels = 2 * (width // 64) + 1  # the hand and the frayed edge around it
    seen = (rendered.hand_depth > 0).to(depth)[:, None]
    for along in ((pixels, 1), (1, pixels)):
        seen = F.max_pool2d(seen, along, stride=1, padding=(along[0] // 2, along[1] // 2))
    hand = seen[:, 0] > 0
    column = torch.arange(width, device=depth.device).expand_as(depth)
    left = column.masked_fill(hand, -1).cummax(-1).values
    right = column.masked_fill(hand, width).flip(-1).cummin(-1).values.flip(-1)
    first = depth.gather(-1, left.clamp_min(0)).masked_fill(left < 0, 0)
    last = depth.gather(-1, right.clamp_max(width - 1)).masked_fill(right >= width, 0)
    share = (column - left) / (right - left).clamp_min(1)
    between = torch.where(
        (first > 0) & (last > 0), first + share * (last - first), torch.maximum(first, last)
    )
    return torch.where(hand, between, depth)


@torch.no_grad()
def centre_errors(
    locators: Mapping[str, Locator | None],
    frames: int = 512,
    *,
    seed: int = 1,
    distribution: synth.Distribution | str = CLUTTERED,
    subjects: Iterable[int] = HELD_OUT,
    setup: str = "msra",
    batch: int = 32,
) -> dict[str, torch.Tensor]:
    """Return, by name, the distance (frames,) mm of each locator from the mean of the joints.

    `locators`: name → a detector, or None for the method of `prepare.locate` of that name
    ('mass', 'outline'). The frames show held-out persons.
    Errors: a name with None that is not a method of `prepare.locate`.
    """
    for name, locator in locators.items():
        if locator is None:
            one_of("way to find a hand without a detector", name, METHODS)
    found: dict[str, list[torch.Tensor]] = {name: [] for name in locators}
    for start in range(0, frames, batch):
        given = synth.frames(
            range(start, min(start + batch, frames)),
            seed=seed,
            setup=setup,
            distribution=distribution,
            subjects=subjects,
        )
        true = prepare.true_centre(given.joints)
        for name, locator in locators.items():
            owner = getattr(locator, "__self__", locator)  # of a detector's method
            device = given.depth.device
            if isinstance(owner, nn.Module):
                device = next(owner.parameters()).device
            method = name if locator is None else "mass"
            centre = prepare.locate(given.depth.to(device), given.camera, method, detector=locator)
            found[name].append((centre.to(true) - true).norm(dim=1))
    return {name: torch.cat(parts) for name, parts in found.items()}


def success_rates(
    locators: Mapping[str, Locator | None], within: float = WITHIN, **options: Any
) -> dict[str, float]:
    """Return, by name, the share of frames in which a locator finds the hand within `within` mm.

    `options`: those of `centre_errors`.
    """
    return {
        name: (apart <= within).float().mean().item()
        for name, apart in centre_errors(locators, **options).items()
    }


def only(*things: str) -> synth.Distribution:
    """Return `CLUTTERED` with these of the `THINGS` in every frame, and none of the others."""
    for thing in things:
        one_of("thing beside a hand", thing, THINGS)
    return replace(CLUTTERED, **{thing: float(thing in things) for thing in THINGS})


# --- Helpers ------------------------------------------------------------------


def _look(c: int, joints: int) -> nn.Sequential:
    """Return the second network: (B, 1, SIZE, SIZE) → (B, 3 J + 1), joints and log odds.

    An untrained network returns 0.
    """
    network = nn.Sequential(
        conv_bn_relu(1, c // 2, kernel=5, stride=2),
        conv_bn_relu(c // 2, c, kernel=3, stride=2),
        conv_bn_relu(c, c, kernel=3),
        conv_bn_relu(c, c, kernel=3, stride=2),
        conv_bn_relu(c, c, kernel=3),
        conv_bn_relu(c, 2 * c, kernel=3, stride=2),
        nn.Flatten(),
        nn.Linear(2 * c * (SIZE // 16) ** 2, 2 * c),
        nn.ReLU(inplace=True),
        nn.Linear(2 * c, 3 * joints + 1),
    )
    last = network[-1]
    assert isinstance(last, nn.Linear)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return network


def _standing_out(
    depth: torch.Tensor, cameras: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Draw a measured point (B, 3) mm of each image.

    The more a point stands out from its surroundings, the more often it is drawn.
    """
    step = int(_steps(cameras)[0])
    thin = depth[:, ::step, ::step]
    measured = (thin > 0) & (thin < FAR)
    weight = (image(thin)[:, 1].clamp_min(0) + 1e-3) * measured
    weight = weight + 1e-9  # any pixel, if none is measured
    index = torch.multinomial(weight.flatten(1).cpu(), 1, generator=generator).to(depth.device)
    v, u = index.div(thin.shape[-1], rounding_mode="floor"), index % thin.shape[-1]
    uvd = torch.cat((step * u, step * v, thin.flatten(1).gather(1, index)), 1)
    return uvd_to_xyz(_in_front(uvd)[:, None], cameras, check=False)[:, 0]


def _in_front(points: torch.Tensor) -> torch.Tensor:
    """Return points (..., 3), the last coordinate depth in mm, at least as far as a hand can be."""
    return torch.cat((points[..., :2], points[..., 2:].clamp_min(NEAR)), -1)


def _steps(cameras: torch.Tensor) -> torch.Tensor:
    """Return the step (B,) with which the pixels of each image are read."""
    return (cameras[:, 0] / FOCAL).round().clamp_min(1).long()


def _pixels(uv: torch.Tensor, step: int) -> torch.Tensor:
    """Convert pixels of the maps to pixels of the image.

    A pixel of a map covers four pixels of the subsampled image and stands for their middle.
    """
    return (4 * uv + 1.5) * step


def _up_to(images: torch.Tensor, unit: int) -> tuple[int, int, int, int]:
    """Return the padding on the right and below up to multiples of `unit`."""
    height, width = images.shape[-2:]
    return 0, -width % unit, 0, -height % unit


def _median(values: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Return the median along axis 1 of the values that count; NaN if none does."""
    return values.masked_fill(~counts, torch.nan).nanmedian(1).values
