"""Residual Attention Regression for 3D hand pose estimation (ICIRA 2019, paper 410).

A residual network sees a depth crop. Its three attention modules multiply features by 1 + M with a
soft mask M. The network predicts a few coefficients of a linear model of hand poses (PCA of the
training poses), which the last layer, the prior, expands to all coordinates.

Coordinates: joints in the cube of the crop, [-1, 1]³, that is mm from its centre over half its
side. Equation numbers are the paper's. It names p, t and r without values and gives no widths: both
are those of Attention-56 (Wang et al., CVPR 2017), and the prior's 30 dimensions those of
DeepPrior++ (Oberweger & Lepetit 2017).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from handpose_lib import dataset_specs, prepare
from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.evaluation import metrics
from handpose_lib.frames import Crops
from handpose_lib.nets.attention import AttentionModule, Unit, norm_relu
from handpose_lib.nets.blocks import channels_last, conv_bn_relu, max_pool_same
from handpose_lib.papers.method import (
    ABLATION_EPOCH,
    SYNTHETIC_EPOCH,
    Method,
    Recipe,
    Variant,
    check_multiple,
)
from handpose_lib.skeleton import SKELETONS, Skeleton

TITLE = "Residual Attention"

# --- Configuration ------------------------------------------------------------

ATTENTION = ("residual", "product", "none")
LOSSES = ("squared", "distance")
POOLINGS = (3, 2, 1)
"""How often the mask of each module halves its map: at the paper's size, down to 4 × 4 pixels in
all three.
"""


@dataclass(frozen=True)
class Config:
    """Defaults are the paper's, or those of the works that it builds on.

    size            pixels of the square input
    width           channels of the stem; the modules have 4, 8 and 16 times as many, the last units
                    32 times
    attention       'residual': H = (1 + M)·T (Eq. 1). 'product': H = M·T. 'none': H = T, without
                    mask branches
    p, t, r         residual units before a module's two branches, in its trunk, between poolings of
                    its mask
    prior           dimensions of the pose model, 'full' for all 3J, or 'none': coordinates without
                    a prior layer
    train_prior     whether the prior layer is trained further after it was fitted
    loss            'squared': the mean squared error of the coordinates, as DeepPrior++.
                    'distance': the mean distance of the joints, which is what the paper measures
    """

    size: int = 128
    width: int = 64
    attention: str = "residual"
    p: int = 1
    t: int = 2
    r: int = 1
    prior: int | str = 30
    train_prior: bool = False
    loss: str = "squared"

    def __post_init__(self):
        one_of("attention", self.attention, ATTENTION)
        one_of("loss", self.loss, LOSSES)
        for name, unit in (("size", 16), ("width", 1), ("p", 1), ("t", 1), ("r", 1)):
            check_multiple(self, name, unit)
        if self.prior not in ("full", "none") and not (
            isinstance(self.prior, int) and self.prior > 0
        ):
            raise HandPoseError(
                f"prior {self.prior!r}: accepted are a number of dimensions, 'full' and 'none'"
            )


# --- Network ------------------------------------------------------------------


class StackOutput(NamedTuple):
    """Output of the network, which is one stack.

    joints         (B, J, 3) in the cube
    coefficients   (B, d) of the prior; None without one
    masks          (B, C, h, w) in [0, 1] of each module; empty in targets, which do not fix them
    """

    joints: torch.Tensor
    coefficients: torch.Tensor | None
    masks: tuple[torch.Tensor, ...]


class ResidualAttention(Method):
    """29.8 M parameters, if p, t and r are those of Attention-56; 4×4 maps from a 128×128 crop.

    The prior must be fitted before training; `loss` is an error otherwise.
    """

    def __init__(self, skeleton: Skeleton, variant: str = "paper", config: Config = Config()):
        super().__init__("residual_attention", variant, skeleton, config)
        c, coordinates = config.width, 3 * len(skeleton)
        dimensions = coordinates if isinstance(config.prior, str) else config.prior
        if dimensions > coordinates:
            raise HandPoseError(
                f"prior {dimensions}: {skeleton.name} has {coordinates} coordinates, so that"
                f" accepted are 1 to {coordinates} dimensions"
            )
        self.stem = conv_bn_relu(1, c, kernel=7, stride=2)
        self.units = nn.ModuleList(
            (Unit(c, 4 * c), Unit(4 * c, 8 * c, stride=2), Unit(8 * c, 16 * c, stride=2))
        )
        self.attention = nn.ModuleList(
            AttentionModule(width * c, poolings, config.attention, config.p, config.t, config.r)
            for width, poolings in zip((4, 8, 16), POOLINGS)
        )
        self.last = nn.Sequential(
            Unit(16 * c, 32 * c, stride=2),
            Unit(32 * c, 32 * c),
            Unit(32 * c, 32 * c),
            norm_relu(32 * c),
        )
        self.coefficients = nn.Linear(32 * c, dimensions)
        self.prior = (
            None if config.prior == "none" else Prior(dimensions, coordinates, config.train_prior)
        )
        _initialise(self)
        channels_last(self)

    def encode(self, crops: Crops) -> torch.Tensor:
        """Return depth in [-1, 1], background +1 (Section 3): (B, 1, size, size)."""
        return prepare.image(crops, self.config.size)

    def forward(self, x: torch.Tensor) -> list[StackOutput]:
        size = self.config.size
        if x.ndim != 4 or x.shape[1:] != (1, size, size):
            raise HandPoseError(
                f"input of shape {tuple(x.shape)}: accepted is (B, 1, {size}, {size})"
            )
        x, masks = max_pool_same(self.stem(x)), []
        for unit, module in zip(self.units, self.attention):
            x, mask = module(unit(x))
            masks.append(mask)
        a = self.coefficients(self.last(x).mean((2, 3)))
        pose = a if self.prior is None else self.prior(a)
        return [
            StackOutput(
                pose.unflatten(1, (-1, 3)),
                None if self.prior is None else a,
                () if self.config.attention == "none" else tuple(masks),
            )
        ]

    # --- Prior ----------------------------------------------------------------

    def before_training(self, batches: Iterable[Crops]) -> None:
        """Fit the prior, by `fit_prior`."""
        self.fit_prior(batches)

    @torch.no_grad()
    def fit_prior(self, batches: Iterable[Crops]) -> None:
        """Fit the prior layer, if there is one, to the joints of crops seen as in training.

        Errors: not more poses than the prior has dimensions, crops without joints.
        """
        if self.prior is not None:
            self.prior.fit(
                torch.cat([self._normalised(crops).flatten(1).cpu() for crops in batches])
            )

    def parameter_groups(self, weight_decay: float) -> list[dict]:
        """Return the parameters in two groups; the prior never decays, and is absent if frozen."""
        groups = super().parameter_groups(weight_decay)
        prior = [] if self.prior is None else [*self.prior.parameters()]
        for group in groups:
            group["params"] = [p for p in group["params"] if not any(p is q for q in prior)]
        groups[1]["params"] += [p for p in prior if p.requires_grad]
        return groups

    # --- Targets --------------------------------------------------------------

    def targets(self, crops: Crops) -> StackOutput:
        """Return the joints, and their coefficients."""
        joints = self._normalised(crops)
        return StackOutput(
            joints, None if self.prior is None else self.prior.project(joints.flatten(1)), ()
        )

    def _normalised(self, crops: Crops) -> torch.Tensor:
        """Return the crops' joints (B, J, 3) in the cube."""
        return prepare.xyz_to_cube(self._true_joints(crops), crops)

    # --- Loss -----------------------------------------------------------------

    def loss(self, y: list[StackOutput], crops: Crops) -> dict[str, torch.Tensor]:
        """Return 'pose', an error of the joints in the cube: the paper names no loss.

        With a frozen prior, the gradient of the squared error equals, up to a factor, that of
        DeepPrior++'s squared error of the coefficients: no coefficient can change the part of a
        pose outside the prior's span.
        Errors: a prior that was not fitted.
        """
        if self.prior is not None and not self.prior.fitted:
            raise HandPoseError(
                "the prior layer of this residual_attention was not fitted: call "
                "fit_prior(batches of training crops) before training it"
            )
        joints = y[-1].joints
        true = self._normalised(crops).to(joints.dtype)
        pose = (
            F.mse_loss(joints, true)
            if self.config.loss == "squared"
            else (joints - true).norm(dim=-1).mean()
        )
        return {"pose": pose, "total": pose}

    # --- Decode ---------------------------------------------------------------

    def decode(self, y: list[StackOutput], crops: Crops) -> torch.Tensor:
        """Return the joints (B, J, 3), mm in the camera frame."""
        return prepare.cube_to_xyz(y[-1].joints.to(crops.centre.dtype), crops)


class Prior(nn.Module):
    """A linear model of poses, ŷ = α W + μ: coefficients (B, d) → coordinates (B, 3J).

    W (d, 3J): the first d principal directions of the fitted poses, orthonormal, their signs such
    that the largest entry is positive. μ (3J,): their mean. `variance` (3J,): along each of all 3J
    directions.
    """

    variance: torch.Tensor

    def __init__(self, dimensions: int, coordinates: int, trainable: bool = False):
        super().__init__()
        # Until the prior is fitted, its directions are the axes.
        self.components = nn.Parameter(torch.eye(dimensions, coordinates), trainable)
        self.mean = nn.Parameter(torch.zeros(coordinates), trainable)
        self.register_buffer("variance", torch.zeros(coordinates))
        self.fitted = False
        self.register_load_state_dict_post_hook(
            lambda prior, _: setattr(prior, "fitted", bool(prior.variance.any()))
        )

    def forward(self, coefficients: torch.Tensor) -> torch.Tensor:
        # Element by element and not as a matrix product: coordinates keep full precision under
        # autocast.
        return (coefficients[..., None] * self.components).sum(-2) + self.mean

    def project(self, poses: torch.Tensor) -> torch.Tensor:
        """Return the coefficients (B, d) of poses (B, 3J): (y − μ) Wᵀ.

        For an orthonormal W they give the nearest point of the prior's span.
        """
        return (poses.to(self.mean.dtype) - self.mean) @ self.components.T

    def fit(self, poses: torch.Tensor) -> None:
        """Fit the principal components of poses (N, 3J), computed in float64.

        Errors: not more poses than dimensions, numbers that are not finite.
        """
        d, coordinates = self.components.shape
        if (
            poses.ndim != 2
            or poses.shape[1] != coordinates
            or len(poses) <= d
            or not poses.isfinite().all()
        ):
            raise HandPoseError(
                f"poses of shape {tuple(poses.shape)} for a prior of {d} dimensions: accepted are "
                f"more than {d} poses of {coordinates} finite coordinates each"
            )
        poses = poses.double()
        mean = poses.mean(0)
        variance, directions = torch.linalg.eigh(
            (poses - mean).T @ (poses - mean) / (len(poses) - 1)
        )  # rising
        components = directions.flip(1).T[:d]
        largest = components.gather(1, components.abs().argmax(1, keepdim=True))
        self.components.data.copy_(components * largest.sign())
        self.mean.data.copy_(mean)
        self.variance.copy_(variance.flip(0).clamp_min(0))
        self.fitted = bool(self.variance.any())

    def explained(self) -> torch.Tensor:
        """Return the share of the variance in the first 1, 2, …, 3J directions, (3J,)."""
        return self.variance.cumsum(0) / self.variance.sum()


def _initialise(method: nn.Module) -> None:
    """Draw kernels after He et al., since the paper does not say, and coefficients near zero.

    Training then begins at the mean pose.
    """
    for part in method.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, 0.0, 1e-3)
            nn.init.zeros_(part.bias)


# --- Metrics ------------------------------------------------------------------

CENTRE_JOINTS = {name: known.centre for name, known in SKELETONS.items() if known.centre}
"""The joint that the paper leaves out of its means as 'used for normalisation'. The paper does not
name it: here it is that of DeepPrior++.
"""


def measures(
    predicted: torch.Tensor,
    joints: torch.Tensor,
    skeleton: Skeleton,
    thresholds: Sequence[float] = metrics.THRESHOLDS,
) -> dict[str, Any]:
    """Return the paper's measures of `predicted` against `joints`, both (N, J, 3) mm.

    Where the paper is ambiguous, both readings are returned:

    `mean_joint_error_mm` over all joints, `mean_without_centre_joint_mm` as printed (Section 4);
    `success_rate_worst`, as its text says, and `success_rate_mean`, as its Eq. 4 does: shares of
    frames at each of `thresholds` mm. Errors: a skeleton without a centre joint.
    """
    left_out = skeleton.index(
        CENTRE_JOINTS[one_of("skeleton with a centre joint", skeleton.name, CENTRE_JOINTS)]
    )
    per_joint = metrics.per_joint_error(predicted, joints)
    others = torch.arange(len(per_joint)) != left_out
    return {
        "mean_joint_error_mm": per_joint.mean().item(),
        "mean_without_centre_joint_mm": per_joint[others.to(per_joint.device)].mean().item(),
        "success_rate_worst": metrics.success_rate_worst(predicted, joints, thresholds).tolist(),
        "success_rate_mean": metrics.success_rate_mean(predicted, joints, thresholds).tolist(),
    }


# --- Variants -----------------------------------------------------------------

METHOD = ResidualAttention
VARIANTS = {
    "paper": Variant("Three modules H = (1 + M)·T, prior of 30 dimensions, frozen"),
    "full_width": Variant("The same, and as wide on a CPU as with profile paper", {"width": 64}),
    "trunk": Variant("Without attention: H = T", {"attention": "none"}),
    "product": Variant("Without the residual form: H = M·T", {"attention": "product"}),
    "no_prior": Variant("Without the prior layer: coordinates at once", {"prior": "none"}),
    "prior_10": Variant("Prior of 10 dimensions", {"prior": 10}),
    "prior_20": Variant("Prior of 20 dimensions", {"prior": 20}),
    "prior_40": Variant("Prior of 40 dimensions", {"prior": 40}),
    "prior_full": Variant(
        "Prior of all dimensions: a change of axes, which loses nothing",
        {"prior": "full"},
    ),
    "trained_prior": Variant("Prior of 30 dimensions that goes on learning", {"train_prior": True}),
    "small": Variant(
        "For exercises: an eighth of the width on 64×64 crops", {"width": 8, "size": 64}
    ),
}


# --- Recipes ------------------------------------------------------------------

# mm, of the cube in training and test: DeepPrior++'s, which the paper follows without giving its
# own; on MSRA its commonest of five. Synthetic frames take what the other methods of this book
# take; sets that the paper leaves out, the side in their spec.
CUBES = {**dataset_specs.CUBES, "synthetic": 250.0, "nyu": 300.0, "msra": 200.0, "icvl": 250.0}
DATASETS = tuple(CUBES)

STILL = {"rotation": (0.0, 0.0), "scale": (1.0, 1.0), "translation": 0.0}
"""No augmentation: the paper insists on it."""

SMALL = {"width": 16, "size": 64}
"""A quarter of the channels on crops of half the side, some sixty times less arithmetic: the
network of every variant on a CPU, except in profile 'smoke', where it is narrower still.
"""


def recipe(dataset: str, profile: str, variant: Variant) -> Recipe:
    """Return how the variant is trained on a data set.

    'paper': Section 4. Its 'L2 regularisation' is a term of the loss, hence coupled. The rate is
    divided by 10 once, after 30 of the 70 epochs. Cubes sit at the centre of mass (Section 3).
    The other profiles are ours: a higher rate that falls to zero along half a cosine, mild
    augmentation (no frame is seen more than a few times), and a narrower network on coarser crops,
    of which a CPU trains many more in the same time. A variant that sets the paper's width keeps
    it, and in profile 'laptop' sees as many frames as fit into the same time. There the loss is the
    distance, and batches are larger: this network of many small layers then takes less time per
    frame.
    """
    cube = CUBES[dataset]
    if profile == "paper":
        return Recipe(
            profile,
            "adam",
            lr=1e-4,
            weight_decay=3e-4,
            weight_decay_mode="coupled",
            schedule="steps",
            gamma=0.1,
            drops=(30,),
            batch=128,
            epochs=70,
            epoch_frames=SYNTHETIC_EPOCH if dataset == "synthetic" else None,
            augmentation=STILL,
            cube_train=(cube,),
            cube_test=cube,
            centre="mass" if dataset in ("nyu", "msra", "icvl") else None,
        )
    small = Config(**variant.config).width < Config.width
    network, epochs, batch, rate, parts = SMALL, 10, 16, 2e-3, 1
    if profile == "smoke":
        network, epochs, epoch_frames = {"width": 8, "size": 64}, 4, 2_000
    elif profile in ABLATION_EPOCH:
        epoch_frames = ABLATION_EPOCH[profile]
    else:
        epoch_frames, batch, rate, parts = 12_800 if small else 8_192, 64, 6e-3, 2
    if small:  # small enough as it is
        network = {}
    elif "width" in variant.config and profile != "smoke":
        network = {"size": 64}
        if profile == "laptop":
            epoch_frames = int(epoch_frames / FULL_WIDTH_COSTS)
    if profile == "laptop":
        network = {**network, "loss": "distance"}
    return Recipe(
        profile,
        "adamw",
        lr=rate,
        weight_decay=1e-2,
        weight_decay_mode="decoupled",
        schedule="cosine",
        warmup=100,
        warmup_from=0.05,
        batch=batch,
        epochs=epochs,
        epoch_frames=epoch_frames,
        augmentation={"rotation": (-0.3, 0.3), "scale": (0.95, 1.05), "translation": 5.0},
        cube_train=(cube,),
        cube_test=cube,
        network=network,
        parts=parts,
    )


FULL_WIDTH_COSTS = 6.6
"""Time per frame at the paper's width over that at a quarter of it, on a CPU."""
