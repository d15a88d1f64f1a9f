"""Refining the reference point: a small network that moves a crude centre to the middle of the
joints.

    refine = trained.load("centre_refiner")                         # the book's
    centre = prepare.locate(depth, camera, refine=refine)           # (B, 3) mm
    centre_refiner.summary(centre_refiner.centre_errors(refine))    # how far off, in mm

After V2V-PoseNet (section 3.1), which follows DeepPrior++ here: a crude centre is found by simple
means, a 2D network sees the crop around it and says how far from there the mean of the true joints
is. A forearm pulls every mean of points off the hand; what is a forearm and what a finger is
something that a network can learn.

Ours is the unit of that offset: a place in the view, two coordinates in the image and one in depth,
instead of three in mm. The crop shows where a point is in the image, and not how far from the
optical axis the hand is.
"""

from dataclasses import dataclass, replace

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
"""Name → branches, each with the side of its window in the middle of the crop and its two poolings.
Three are DeepPrior++'s (`net/scalenet.py`, type 1, of its code); V2V-PoseNet's Figure 4 shows one.
"""
SIZE = 128
"""Pixels of the crop."""
FILTERS = 8
"""Of every convolution."""
NOISE = 20.0
"""mm, standard deviation along each axis by which half of the centres in training miss the true
one.
"""
SUBJECTS, HELD_OUT = tuple(range(8)), (8,)


@dataclass(frozen=True)
class Config:
    """A `network` of `NETWORKS` on crops of `cube` mm; `width` of the two hidden layers, `dropout`
    behind each.

    The book's network is narrow, so that its weights can be kept beside the text; the published one
    has a width of 1024, and dropout of a share that its paper does not say.
    """

    network: str = "three windows"
    cube: float = 300.0
    width: int = 256
    dropout: float = 0.0

    def __post_init__(self):
        one_of("network to refine a centre", self.network, NETWORKS)
        if not isinstance(self.width, int) or self.width < 1:
            raise HandPoseError(f"width {self.width!r}: accepted are whole numbers from 1")
        if not 0 < self.cube < float("inf"):
            raise HandPoseError(f"cube {self.cube!r}: accepted are mm > 0")
        if not 0 <= self.dropout < 1:
            raise HandPoseError(f"dropout {self.dropout!r}: accepted is a share from 0 to below 1")


class CentreRefiner(nn.Module):
    """Depth images, their cameras and crude centres to better ones, as `prepare.locate` asks of
    `refine`.
    """

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
                nn.init.zeros_(part.bias)
        nn.init.zeros_(self.head[-1].weight)  # an untrained network leaves the centre where it is
        self.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def forward(
        self, depth: torch.Tensor, cameras: torch.Tensor, centre: torch.Tensor
    ) -> torch.Tensor:
        """(B, H, W) mm, (B, 4) and (B, 3) mm → (B, 3) mm. Errors: shapes that do not fit, a centre
        behind the camera.
        """
        crops = prepare.crop(depth, cameras, centre, self.config.cube, margin=1.0)
        return prepare.from_view(self.offsets(crops)[:, None], crops)[:, 0]

    def offsets(self, crops: Crops) -> torch.Tensor:
        """The predicted centre of the joints (B, 3) in the view, in half cube sides."""
        image = prepare.image(crops, SIZE)
        return self.head(
            torch.cat(
                [
                    branch(_middle(image, side)).flatten(1)
                    for branch, side in zip(self.branches, self.windows)
                ],
                1,
            )
        )

    def loss(self, crops: Crops) -> dict[str, torch.Tensor]:
        """Scalars 'total', and 'error_mm', the mean distance from the true centre, for crops with
        joints.

        Crops whose cube misses the true centre do not count.
        """
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
    """Three convolutions without padding, max pooling behind the first two."""
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
    """Of the maps that a branch makes of a window."""
    return ((window - 4) // first - 4) // second - 2


def _middle(image: torch.Tensor, side: int) -> torch.Tensor:
    """The window (B, 1, side, side) in the middle of (B, 1, S, S)."""
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
    distribution="wide_view",
    device="auto",
    progress: bool = True,
) -> list[dict]:
    """Train in place on synthetic frames, each rendered once; the curve of the loss in about fifty
    entries.

    Every frame is cut around two centres, as in DeepPrior++: the one that `method` of
    `prepare.locate` finds, and the true one with noise. Each batch is good for `views` updates, in
    which it is seen turned by any angle, in cubes of somewhat other sides, and half of it in a
    mirror, which makes left hands of right ones. Errors: names that are not known, a loss that is
    no longer a number.
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
    refine,
    frames: int = 512,
    *,
    seed: int = 1,
    method: str = "mass",
    setup: str = "msra",
    distribution="wide_view",
    subjects=HELD_OUT,
    batch: int = 32,
) -> dict[str, torch.Tensor]:
    """'crude' and 'refined': how far (frames,) mm the centre of `method`, and what `refine` makes
    of it, is from the mean of the joints. Frames are of persons that no training here has seen.
    """
    found = {"crude": [], "refined": []}
    for start in range(0, frames, batch):
        given = synth.frames(
            range(start, min(start + batch, frames)),
            seed=seed,
            setup=setup,
            distribution=distribution,
            subjects=subjects,
        )
        place = (
            next(refine.parameters()).device
            if isinstance(refine, nn.Module)
            else given.depth.device
        )
        depth, true = given.depth.to(place), prepare.true_centre(given.joints)
        crude = prepare.locate(depth, given.camera, method)
        refined = refine(depth, as_cameras(given.camera, depth), crude)
        for name, centre in (("crude", crude), ("refined", refined)):
            found[name].append((centre.to(true) - true).norm(dim=1))
    return {name: torch.cat(parts) for name, parts in found.items()}


def summary(found: dict[str, torch.Tensor]) -> dict[str, float]:
    """Mean and median in mm of what `centre_errors` returns, and the share of frames that refining
    brings closer.
    """
    measures = {
        f"{name}_{kind}_mm": getattr(apart, kind)().item()
        for name, apart in found.items()
        for kind in ("mean", "median")
    }
    return {**measures, "closer": (found["refined"] < found["crude"]).float().mean().item()}


# --- In front of a data set ---------------------------------------------------


class Located:
    """A data set whose stored reference points are found in its images:
    `Stored(Located(train, refine), cube, "stored")`.

    `method` of `prepare.locate` finds a crude centre, `refine`, a function as `prepare.locate`
    takes it, improves on it, or None leaves it. So a method is trained and tested with refined
    centres, whatever the set has. Errors: as of `locate`.
    """

    def __init__(self, dataset, refine=None, method: str = "mass"):
        self._whole, self._refine, self._method = (
            dataset,
            refine,
            one_of("method to locate a hand", method, METHODS),
        )
        self.name, self.camera, self.skeleton = dataset.name, dataset.camera, dataset.skeleton
        self.synthetic, self.fingerprint = dataset.synthetic, dataset.fingerprint
        self.protocol = {
            **dataset.protocol,
            "centres": method if refine is None else f"{method}, refined",
        }

    def __len__(self):
        return len(self._whole)

    def __getitem__(self, index):
        return self.frames([index])[0]

    def frames(self, indices):
        frames = self._whole.frames(indices)
        found = prepare.locate(
            torch.stack([frame.depth for frame in frames]),
            self.camera,
            self._method,
            refine=self._refine,
            ids=[frame.id for frame in frames],
        )
        return [replace(frame, centre=centre) for frame, centre in zip(frames, found, strict=True)]

    def joints(self):
        return self._whole.joints()

    def describe(self):
        return f"{self._whole.describe()}, centres {self.protocol['centres']}"
