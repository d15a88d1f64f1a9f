"""Refinement of the reference point: a network moves a crude centre to the mean of the joints.

    refine = trained.load("centre_refiner")                         # the book's
    centre = prepare.locate(depth, camera, refine=refine)           # (B, 3) mm
    centre_refiner.summary(centre_refiner.centre_errors(refine))    # errors in mm

A simple method finds a crude centre; a 2D network sees the crop around it and predicts the offset
to the mean of the true joints. A visible forearm pulls the mean of the measured points off the
hand, and a network can learn to tell the forearm from the fingers.

The offset is predicted in the view (two coordinates in the image, one in depth) instead of in mm in
the camera frame, because the crop does not show how far the hand is from the optical axis.
Source: V2V-PoseNet, Section 4, and DeepPrior++, Section 3. The unit of the offset is ours.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn

from handpose_lib import evaluation, prepare, synth, training
from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.frames import Crops
from handpose_lib.hand_detection.learning import learn
from handpose_lib.io.background import in_background
from handpose_lib.prepare.locate import METHODS, as_cameras

NETWORKS = {
    "three windows": ((128, (4, 2)), (64, (2, 2)), (32, (2, 1))),
    "one window": ((128, (4, 2)),),
}
"""Name → branches; each has the side of its window in the middle of the crop and its two poolings.

DeepPrior++ has three branches (`net/scalenet.py`, type 1, of its code); Figure 4 of V2V-PoseNet
shows one.
"""
SIZE = 128
"""Side of the crop in pixels."""
FILTERS = 8
"""Channels of every convolution."""
NOISE = 20.0
"""Standard deviation in mm along each axis of the noise on half of the centres in training."""
SUBJECTS, HELD_OUT = tuple(range(8)), (8,)
"""Persons of the training and of the test."""

Refine = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""What `prepare.locate` takes as `refine`: depth images (B, H, W) mm, cameras (B, 4) and centres
(B, 3) mm → better centres (B, 3) mm.
"""


@dataclass(frozen=True)
class Config:
    """Configuration of the refiner.

    network    a name of `NETWORKS`
    cube       side of the crop's cube, mm
    width      of the two hidden layers
    dropout    share that is dropped after each hidden layer

    The book's network is narrow, so that its weights can be kept beside the text. The published one
    has a width of 1024 and dropout; its paper does not state the share.
    """

    network: str = "three windows"
    cube: float = 300.0
    width: int = 256
    dropout: float = 0.0

    def __post_init__(self) -> None:
        one_of("network to refine a centre", self.network, NETWORKS)
        if not isinstance(self.width, int) or self.width < 1:
            raise HandPoseError(f"width {self.width!r}: accepted are whole numbers from 1")
        if not 0 < self.cube < float("inf"):
            raise HandPoseError(f"cube {self.cube!r}: accepted are mm > 0")
        if not 0 <= self.dropout < 1:
            raise HandPoseError(f"dropout {self.dropout!r}: accepted is a share from 0 to below 1")


class CentreRefiner(nn.Module):
    """The refiner that `prepare.locate` takes: depth images, cameras, centres → better centres."""

    def __init__(self, config: Config = Config()):
        super().__init__()
        self.config, branches = config, NETWORKS[config.network]
        self.windows = tuple(side for side, _ in branches)
        self.branches = nn.ModuleList(_branch(*pools) for _, pools in branches)
        features = sum(FILTERS * _side(side, *pools) ** 2 for side, pools in branches)
        self.head = nn.Sequential(
            nn.Linear(features, config.width),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.width, config.width),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.width, 3),
        )
        for part in self.modules():
            if isinstance(part, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
                assert part.bias is not None
                nn.init.zeros_(part.bias)
        last = self.head[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)  # an untrained network does not move the centre
        # torch's annotations of `to` lack this argument.
        cast(Any, self).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def forward(
        self, depth: torch.Tensor, cameras: torch.Tensor, centre: torch.Tensor
    ) -> torch.Tensor:
        """Return the refined centres, (B, 3) mm.

        `depth`: (B, H, W) mm; `cameras`: (B, 4); `centre`: (B, 3) mm.
        Errors: shapes that do not fit, a centre behind the camera.
        """
        crops = prepare.crop(depth, cameras, centre, self.config.cube, margin=1.0)
        return prepare.from_view(self.offsets(crops)[:, None], crops)[:, 0]

    def offsets(self, crops: Crops) -> torch.Tensor:
        """Return the predicted centre of the joints (B, 3) in the view, in half cube sides."""
        image = prepare.image(crops, SIZE)
        features = [
            branch(_middle(image, side)).flatten(1)
            for branch, side in zip(self.branches, self.windows)
        ]
        return self.head(torch.cat(features, 1))

    def loss(self, crops: Crops) -> dict[str, torch.Tensor]:
        """Return the loss of crops with joints as scalars: 'total', and 'error_mm'.

        `error_mm` is the mean distance from the true centre. Crops whose cube does not contain the
        true centre are ignored.
        """
        assert crops.joints is not None
        said, true = self.offsets(crops), prepare.true_centre(crops.joints)
        wanted = prepare.to_view(true[:, None], crops)[:, 0]
        counts = (wanted.abs() <= 1).all(1)
        apart = F.huber_loss(
            said, wanted.where(counts[:, None], 0), reduction="none", delta=0.1
        ).sum(1)
        error = (prepare.from_view(said.detach()[:, None], crops)[:, 0] - true).norm(dim=1)
        share = counts / counts.sum().clamp_min(1)
        return {"error_mm": (error * share).sum(), "total": (apart * share).sum()}


def _branch(first: int, second: int) -> nn.Sequential:
    """Return three convolutions without padding, with max pooling after the first two."""
    return nn.Sequential(
        nn.Conv2d(1, FILTERS, 5),
        nn.MaxPool2d(first),
        nn.ReLU(),
        nn.Conv2d(FILTERS, FILTERS, 5),
        nn.MaxPool2d(second),
        nn.ReLU(),
        nn.Conv2d(FILTERS, FILTERS, 3),
        nn.ReLU(),
    )


def _side(window: int, first: int, second: int) -> int:
    """Return the side of a branch's last feature maps for a window."""
    return ((window - 4) // first - 4) // second - 2


def _middle(image: torch.Tensor, side: int) -> torch.Tensor:
    """Return the window (B, 1, side, side) in the middle of (B, 1, S, S)."""
    start = (image.shape[-1] - side) // 2
    return image[..., start : start + side, start : start + side]


# --- Training -----------------------------------------------------------------


def train(
    refiner: CentreRefiner,
    frames: int = 8_000,
    *,
    seed: int = 0,
    batch: int = 16,
    views: int = 2,
    rate: float = 1e-3,
    method: str = "mass",
    setup: str = "msra",
    distribution: synth.Distribution | str = "wide_view",
    device: torch.device | str = "auto",
    progress: bool = True,
) -> list[dict]:
    """Train the refiner in place on synthetic frames, each rendered once.

    Every frame is cut around two centres, as in DeepPrior++: the one that `method` of
    `prepare.locate` finds, and the true one with noise. Each batch is used for `views` updates,
    with other rotations, other cube sides, and half of it mirrored. Returns the curve of the loss
    in about fifty entries.
    Errors: unknown names, a loss that is no longer a number.
    """
    one_of("method to locate a hand", method, METHODS)
    device = evaluation.find_device(device)
    refiner.to(device).train()
    steps = views * max(2, frames // batch)

    def render(number: int) -> Crops:
        given = synth.frames(
            range(number * batch, (number + 1) * batch),
            seed=training.mix(seed, "localisation", 0) % (1 << 31),
            setup=setup,
            distribution=distribution,
            subjects=SUBJECTS,
        )
        noise = NOISE * torch.randn(
            batch, 3, generator=training.generator(seed, "crude centre", number)
        )
        centre = torch.cat(
            (
                prepare.locate(given.depth, given.camera, method),
                prepare.true_centre(given.joints) + noise,
            )
        )
        depth, joints = (torch.cat((values, values)) for values in (given.depth, given.joints))
        return prepare.crop(depth, given.camera, centre, refiner.config.cube, joints)

    def loss(step: int, crops: Crops) -> dict[str, torch.Tensor]:
        torch.manual_seed(training.mix(seed, "network", step))
        crops = prepare.augment(crops, training.generator(seed, "augment", step), translation=0.0)
        flips = torch.randint(2, (len(crops),), generator=training.generator(seed, "mirror", step))
        return refiner.loss(replace(crops, mirror=crops.mirror * (1 - 2 * flips)).to(device))

    batches = in_background(render, range(steps // views))
    seen = (crops for crops in batches for _ in range(views))
    curve = learn(
        refiner, seen, loss, steps=steps, rate=rate, name="centre refiner", progress=progress
    )
    refiner.eval()
    return curve


# --- Evaluation ---------------------------------------------------------------


@torch.no_grad()
def centre_errors(
    refine: Refine,
    frames: int = 512,
    *,
    seed: int = 1,
    method: str = "mass",
    setup: str = "msra",
    distribution: synth.Distribution | str = "wide_view",
    subjects: Iterable[int] = HELD_OUT,
    batch: int = 32,
) -> dict[str, torch.Tensor]:
    """Return the distances (frames,) mm of two centres from the mean of the joints.

    'crude' is the centre that `method` finds, 'refined' what `refine` makes of it. The frames show
    held-out persons.
    """
    found: dict[str, list[torch.Tensor]] = {"crude": [], "refined": []}
    for start in range(0, frames, batch):
        given = synth.frames(
            range(start, min(start + batch, frames)),
            seed=seed,
            setup=setup,
            distribution=distribution,
            subjects=subjects,
        )
        device = given.depth.device
        if isinstance(refine, nn.Module):
            device = next(refine.parameters()).device
        depth, true = given.depth.to(device), prepare.true_centre(given.joints)
        crude = prepare.locate(depth, given.camera, method)
        refined = refine(depth, as_cameras(given.camera, depth), crude)
        for name, centre in (("crude", crude), ("refined", refined)):
            found[name].append((centre.to(true) - true).norm(dim=1))
    return {name: torch.cat(parts) for name, parts in found.items()}


def summary(found: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Return mean and median in mm of the result of `centre_errors`.

    'closer' is the share of frames in which the refined centre is nearer than the crude one.
    """
    measures = {
        f"{name}_{kind}_mm": getattr(apart, kind)().item()
        for name, apart in found.items()
        for kind in ("mean", "median")
    }
    return {**measures, "closer": (found["refined"] < found["crude"]).float().mean().item()}
