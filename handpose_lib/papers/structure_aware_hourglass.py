"""Structure-Aware 3D Hourglass (Huang et al., BMVC 2018).

Two stacked hourglasses turn voxels into one 3D heat map per joint. The first also predicts one heat
map per *bone*; these maps are supervised and passed on, so that the second can learn how joints and
bones agree. A joint is the weighted mean of the K highest voxels.

Coordinates: joints in a cube, [-1, 1]³, and in voxels of the maps, with the middle of the first
voxel at 0. Equation numbers are the paper's. It has no released code: where its text is silent, the
network is that of the stacked hourglass (Newell et al., ECCV 2016), and every choice is a field of
`Config`.
"""

from dataclasses import dataclass
from functools import partial
from math import pi
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from handpose_lib import dataset_specs, prepare
from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.evaluation import metrics
from handpose_lib.frames import Crops
from handpose_lib.nets.blocks import channels_last
from handpose_lib.nets.heatmap import at
from handpose_lib.nets.hourglass import Hourglass
from handpose_lib.nets.likelihood import bone_maps, gaussian_maps, top_k
from handpose_lib.nets.volume import Bottleneck, Residual, conv, conv_bn_relu, max_pool
from handpose_lib.papers.method import (
    ABLATION_EPOCH,
    SYNTHETIC_EPOCH,
    Method,
    Recipe,
    Variant,
    add,
    check_multiple,
    check_positive,
)
from handpose_lib.prepare import voxels
from handpose_lib.skeleton import Skeleton

TITLE = "3D Hourglass"

# --- Configuration ------------------------------------------------------------

RESIDUALS = {"bottleneck": Bottleneck, "full": Residual}
CHOICES = {
    "dimensions": (3, 2),
    "head": ("heatmaps", "coordinates"),
    "cube": ("cloud", "fixed"),
    "residual": tuple(RESIDUALS),
    "merge": ("convolved", "plain"),
    "bone_map": ("segment", "middle"),
}


@dataclass(frozen=True)
class Config:
    """Defaults are the paper's, up to `sigma_bones`; then the stacked hourglass's or the book's.

    size            voxels along each side of the input; the maps are size/2
    channels        width of the hourglasses
    stacks          number of hourglasses
    dimensions      3: voxels in. 2: the depth image in, and everything two-dimensional (B3 to B5)
    head            'heatmaps', or 'coordinates' from two fully connected layers at each stack (B1,
                    B3)
    bones           heat maps of the bones at all stacks but the last
    cube            'cloud': each frame's smallest cube around its points (Section 3.1, MSRA).
                    'fixed': the crop's
    sigma_joints    standard deviation of the maps of joints, and of those of bones, in voxels of
                    the maps
    sigma_bones
    depth           how often each hourglass halves its map
    residual        residual modules: pre-activation 'bottleneck', or 'full' with two 3×3×3 of the
                    whole width
    residuals       their number between an hourglass and its 1×1×1 layers: the figure may be read
                    as 1 or 2
    merge           next input = input + features + 1×1×1 of the maps. 'convolved': the features
                    through a 1×1×1 as well. 'plain': as they are
    bone_map        Gaussian of the distance to the bone, a 'segment', or only to its 'middle'
    peak            height of the targets
    k               voxels in the weighted mean that gives a joint (Eq. 3)
    hidden, pool    of the fully connected layers: hidden units, and the side to which their input
                    is averaged
    initial_std     standard deviation of the initial weights of the maps, which begin near zero,
                    like most voxels of a target
    """

    size: int = 64
    channels: int = 128
    stacks: int = 2
    dimensions: int = 3
    head: str = "heatmaps"
    bones: bool = True
    cube: str = "cloud"
    sigma_joints: float = 1.0
    sigma_bones: float = 0.5
    depth: int = 4
    residual: str = "bottleneck"
    residuals: int = 1
    merge: str = "convolved"
    bone_map: str = "segment"
    peak: float = 1.0
    k: int = 27
    hidden: int = 1024
    pool: int = 4
    initial_std: float = 0.001

    def __post_init__(self):
        for name, accepted in CHOICES.items():
            one_of(name, getattr(self, name), accepted)
        for name, unit in (
            ("channels", 2),
            ("stacks", 1),
            ("depth", 1),
            ("size", 2 ** (self.depth + 1)),
            ("residuals", 1),
            ("k", 1),
            ("hidden", 1),
            ("pool", 1),
        ):
            check_multiple(self, name, unit)
        if self.side % self.pool:
            raise HandPoseError(
                f"pool {self.pool}: accepted are divisors of the side of the maps, {self.side}"
            )
        if self.k > self.side**self.dimensions:
            raise HandPoseError(
                f"k {self.k}: accepted are 1 to {self.side**self.dimensions}, the voxels of a map"
            )
        check_positive(self, "sigma_joints", "sigma_bones", "peak", "initial_std")

    @property
    def side(self) -> int:
        """Return the voxels along each side of the maps."""
        return self.size // 2


# --- Network ------------------------------------------------------------------


class StackOutput(NamedTuple):
    """Output of one stack for J joints and M bones; maps have s = size/2 voxels along each side.

    joints    (B, J, s, s, s) heat maps [z][y][x]; (B, J, 3) in the cube from head 'coordinates'
    bones     (B, M, s, s, s) heat maps; None at the last stack and without bones

    In two dimensions maps have no z axis.
    """

    joints: torch.Tensor
    bones: torch.Tensor | None


class StructureAwareHourglass(Method):
    """3.6 M parameters at the paper's size; maps of 32³ from 64³ voxels."""

    ends: torch.Tensor

    def __init__(self, skeleton: Skeleton, variant: str = "paper", config: Config = Config()):
        super().__init__("structure_aware_hourglass", variant, skeleton, config)
        c, d, joints, links = config.channels, config.dimensions, len(skeleton), config.stacks - 1
        bones = len(skeleton.bones) if config.bones else 0
        self.stem = conv_bn_relu(1, c, 3, stride=2, dimensions=d)
        self.stacks = nn.ModuleList(
            [*(Stack(config, joints, bones) for _ in range(links)), Stack(config, joints, 0)]
        )
        self.links = nn.ModuleList(Link(config, joints + bones) for _ in range(links))
        self.register_buffer(
            "ends", torch.tensor(skeleton.bones).T, persistent=False
        )  # (2, M) child, parent
        channels_last(self, d)

    def encode(self, crops: Crops) -> torch.Tensor:
        """Return occupied voxels as 1, others as 0: (B, 1, size, size, size).

        In two dimensions: depth in [-1, 1], (B, 1, size, size).
        """
        see = voxels.occupancy if self.config.dimensions == 3 else prepare.image
        return see(self.seen(crops), self.config.size)

    def seen(self, crops: Crops) -> Crops:
        """Return the crops in the cube that input and maps of the network span (Section 3.1).

        It is fitted to the points as the view shows them, so that augmentation pushes none out.
        """
        return voxels.fit_cloud(crops) if self.config.cube == "cloud" else crops

    def forward(self, x: torch.Tensor) -> list[StackOutput]:
        shape = (1, *[self.config.size] * self.config.dimensions)
        if tuple(x.shape[1:]) != shape:
            raise HandPoseError(
                f"input of shape {tuple(x.shape)}: accepted is (B, {', '.join(map(str, shape))})"
            )
        x = self.stem(x)
        y = []
        for stack, link in zip(self.stacks, [*self.links, None]):
            features, maps, output = stack(x)
            y.append(output)
            if link is not None:
                x = link(x, features, maps)
        return y

    # --- Targets --------------------------------------------------------------

    def targets(self, crops: Crops) -> StackOutput:
        """Return a Gaussian around every joint and every bone (Sections 3.3 and 3.4).

        With head 'coordinates': the joints in the cube.
        """
        config, joints = self.config, self._true_joints(crops)
        to_cube = prepare.xyz_to_cube if config.dimensions == 3 else prepare.to_view
        n = to_cube(joints, self.seen(crops))
        if config.head == "coordinates":
            return StackOutput(n, None)
        positions = voxels.to_voxels(n, config.side)[..., : config.dimensions]
        child, parent = positions[:, self.ends[0]], positions[:, self.ends[1]]
        if config.bone_map == "segment":
            bones = bone_maps(parent, child, config.side, config.sigma_bones)
        else:
            bones = gaussian_maps((parent + child) / 2, config.side, config.sigma_bones)
        return StackOutput(
            config.peak * gaussian_maps(positions, config.side, config.sigma_joints),
            config.peak * bones,
        )

    @property
    def read_outs(self) -> dict[str, dict[str, Any]]:
        """The most likely voxel alone, instead of a mean over the K best (Eq. 3)."""
        return {"arg_max": {"k": 1}} if self.config.head == "heatmaps" and self.config.k > 1 else {}

    # --- Loss -----------------------------------------------------------------

    def loss(self, y: list[StackOutput], crops: Crops) -> dict[str, torch.Tensor]:
        """Return 'joints' (Eq. 1) over all stacks + 'bones' (Eq. 2) over all but the last.

        Both are squared differences: summed over everything but the batch, averaged over the batch.
        """
        true = self.targets(crops)
        terms = {"joints": add(_squares(output.joints, true.joints) for output in y)}
        if any(output.bones is not None for output in y):
            terms["bones"] = add(_squares(output.bones, true.bones) for output in y[:-1])
        return {**terms, "total": add(terms.values())}

    # --- Decode ---------------------------------------------------------------

    def decode(self, y: list[StackOutput], crops: Crops, k: int | None = None) -> torch.Tensor:
        """Return the joints (B, J, 3), mm in the camera frame, from the last stack.

        `k`: voxels in the weighted mean; None: the configuration's. Two-dimensional maps give no
        depth: their joints take the depth that the image shows at their pixel, or that of the
        cube's centre where it shows none. `xy_error` ignores it.
        """
        config, crops, n = self.config, self.seen(crops), y[-1].joints
        if config.head == "heatmaps":
            n = voxels.from_voxels(top_k(n, config.k if k is None else k), config.side)  # Eq. 3
            if config.dimensions == 2:
                n = torch.cat((n, self._surface(n, crops)), -1)
        from_cube = prepare.cube_to_xyz if config.dimensions == 3 else prepare.from_view
        return from_cube(n.to(crops.centre.dtype), crops)

    def _surface(self, n: torch.Tensor, crops: Crops) -> torch.Tensor:
        """Return the image's depth in the cube, (B, J, 1), at the points n (B, J, 2)."""
        size = self.config.size
        depth = prepare.image(crops, size, background=0.0)
        return at(depth, voxels.to_voxels(n, size)[:, None]).transpose(1, 2).to(n.dtype)


class Stack(nn.Module):
    """An hourglass and its head (Fig. 1): returns features, maps of joints and bones, output."""

    def __init__(self, config: Config, joints: int, bones: int):
        super().__init__()
        c, d, self.joints, self.bones = config.channels, config.dimensions, joints, bones
        block = partial(RESIDUALS[config.residual], dimensions=d)
        self.hourglass = nn.Sequential(
            Hourglass(block, c, config.depth, pool=max_pool(d), bottom=True),
            *(block(c, c) for _ in range(config.residuals)),
        )
        if config.head == "coordinates":
            self.last, self.head = nn.Identity(), Coordinates(config, joints)
        else:
            self.last = conv_bn_relu(c, c, dimensions=d)
            head = self.head = conv(c, joints + bones, dimensions=d)
            assert head.bias is not None
            nn.init.normal_(head.weight, 0.0, config.initial_std)
            nn.init.zeros_(head.bias)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, StackOutput]:
        features = self.last(self.hourglass(x))
        maps = self.head(features)
        return (
            features,
            maps,
            StackOutput(maps[:, : self.joints], maps[:, self.joints :] if self.bones else None),
        )


class Coordinates(nn.Module):
    """Two fully connected layers (B1, B3): (B, C, s, s, s) → (B, J, 3). Their sizes are ours.

    The features are averaged before: 128 × 32³ of them, and 1024 hidden units, would be four
    billion weights.
    """

    def __init__(self, config: Config, joints: int):
        super().__init__()
        mean = {2: nn.AvgPool2d, 3: nn.AvgPool3d}[config.dimensions]
        self.layers = nn.Sequential(
            mean(config.side // config.pool),
            nn.Flatten(),
            nn.Linear(config.channels * config.pool**config.dimensions, config.hidden),
            nn.ReLU(inplace=True),
            nn.Linear(config.hidden, 3 * joints),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x).unflatten(1, (-1, 3))


class Link(nn.Module):
    """The input of the next stack: the sum of its predecessor's input, features and maps.

    Coordinates are no maps, and are not passed on.
    """

    def __init__(self, config: Config, maps: int):
        super().__init__()
        c, d = config.channels, config.dimensions
        self.features = conv(c, c, dimensions=d) if config.merge == "convolved" else nn.Identity()
        self.maps = conv(maps, c, dimensions=d) if config.head == "heatmaps" else None

    def forward(self, x: torch.Tensor, features: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        x = x + self.features(features)
        return x if self.maps is None else x + self.maps(maps)


def _squares(value: torch.Tensor | None, true: torch.Tensor | None) -> torch.Tensor:
    assert value is not None and true is not None
    return F.mse_loss(value.to(true.dtype), true, reduction="sum") / len(true)


# --- Metrics ------------------------------------------------------------------


def xy_error(predicted: torch.Tensor, joints: torch.Tensor) -> float:
    """Return the mean distance in x and y over joints and frames, mm, of (N, J, 3) mm.

    Source: the measure of B4 and B5 (Table 1).
    """
    flat, true = (F.pad(xyz[..., :2], (0, 1)) for xyz in (predicted, joints))
    return metrics.mean_joint_error(flat, true).item()


# --- Variants -----------------------------------------------------------------

METHOD = StructureAwareHourglass
VARIANTS = {
    "paper": Variant(
        "Proposed: 3D heat maps of joints, and of bones at the first of two stacks (Tables 1 and 2)"
    ),
    "direct_3d": Variant(
        "B1: voxels in, coordinates from fully connected layers (Table 1)",
        {"head": "coordinates", "bones": False},
    ),
    "no_bones": Variant("B2: 3D heat maps of the joints alone (Table 1)", {"bones": False}),
    "direct_2d": Variant(
        "B3: depth image in, coordinates from fully connected layers (Table 1)",
        {"dimensions": 2, "head": "coordinates", "bones": False},
    ),
    "heatmap_2d": Variant(
        "B4: depth image in, 2D heat maps of the joints; judged in xy (Table 1)",
        {"dimensions": 2, "bones": False},
    ),
    "heatmap_2d_bones": Variant(
        "B5: depth image in, 2D heat maps of joints and bones; judged in xy (Table 1)",
        {"dimensions": 2},
    ),
    "own_cube": Variant(
        "Proposed, every frame in a cube of its own on any data set (Section 3.1)",
        {"cube": "cloud"},
    ),
    "small": Variant(
        "For exercises: 16 channels on 24³ voxels",
        {"channels": 16, "size": 24, "depth": 2, "hidden": 128},
    ),
}


# --- Recipes ------------------------------------------------------------------

# mm, of the cube in training and test. NYU: the paper gives none; 250 is what its average voxel of
# 8 mm comes to in 32³. MSRA: wide enough to hold the cut-out hand whole, whose points then decide
# the cube that is seen. Synthetic frames: as the other methods of this book. Sets that the paper
# leaves out take the side in their spec.
CUBES = {**dataset_specs.CUBES, "synthetic": 250.0, "nyu": 250.0, "msra": 300.0}
DATASETS = tuple(CUBES)
CUT_OUT = ("msra",)
"""Data sets that show nothing but a hand. Elsewhere a cube also holds points of a forearm or a
room, whose bounding box says little about the hand: there the cube is the crop's, as on NYU in the
paper.
"""

SMALL = {"channels": 32, "size": 24, "depth": 2, "hidden": 256}
"""A quarter of the channels on voxels almost three times as wide, some two hundred times less
arithmetic: every variant's network on a CPU, with half the channels in 'smoke' and 'ablation'.
"""


def recipe(dataset: str, profile: str, variant: Variant) -> Recipe:
    """Return how the variant is trained on a data set.

    'paper': Section 4.2. Its rate 'decays 0.3 every 5 epochs', read as a factor of 0.3 and not as a
    loss of 30 %; its rotation is about the camera's axis, since none is named; RMSProp's other
    constants are PyTorch's. On NYU cubes sit at the true centre (Section 4.1).
    The other profiles are ours, since the paper's rate is far too low for minutes: as for the other
    methods, a higher rate that falls to zero along half a cosine, decoupled weight decay, mild
    augmentation, and a narrower network on coarser voxels.
    """
    cube = CUBES[dataset]
    seen = {} if dataset in CUT_OUT or "cube" in variant.config else {"cube": "fixed"}
    if profile == "paper":
        return Recipe(
            profile,
            "rmsprop",
            lr=1e-5,
            betas=(0.0, 0.99),
            schedule="exponential",
            gamma=0.3,
            every=5,
            batch=16,
            epochs=20,
            epoch_frames=SYNTHETIC_EPOCH if dataset == "synthetic" else None,
            augmentation={
                "rotation": (-pi / 6, pi / 6),
                "scale": (1.0, 1.0),
                "translation": 0.0,
                "aspect": (0.8, 1.2),
            },
            cube_train=(cube,),
            cube_test=cube,
            network=seen,
            centre="true" if dataset == "nyu" else None,
        )
    small = Config(**variant.config).channels < Config.channels
    network, epochs, batch, parts = SMALL, 10, 16, 2
    if profile == "smoke":
        network, epochs, epoch_frames = {**SMALL, "channels": 16}, 4, 1_000
    elif profile in ABLATION_EPOCH:
        # On one core. With few frames, many updates achieve more than large batches.
        network, batch, parts = {**SMALL, "channels": 16}, 8, 1
        epoch_frames = ABLATION_EPOCH[profile]
    else:
        epoch_frames = 4_500 if small else 2_800
    if small:  # small enough as it is
        network = {}
    return Recipe(
        profile,
        "adamw",
        lr=2e-3,
        weight_decay=1e-3,
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
        network={**network, **seen},
        parts=parts,
    )
