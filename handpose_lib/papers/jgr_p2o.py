"""JGR-P2O: joint graph reasoning based pixel-to-offset prediction (Fang et al., ECCV 2020).

Every pixel of a small map predicts its offset (Δu, Δv, Δz) to every joint, and a joint is the
weighted mean of pixel + offset. The weights also pool one feature vector per joint; a graph
convolution exchanges information between the joints, and the same weights distribute the result to
the pixels again.

Coordinates: u and v in [0, 1] across the crop, z in [-1, 1] through the cube. Equation numbers are
the paper's. Sizes and constants that the paper does not state are those of the authors' code.
"""

from dataclasses import dataclass
from math import inf, pi
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from handpose_lib import dataset_specs, prepare
from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.frames import Crops
from handpose_lib.nets.blocks import Conv, Residual, channels_last, conv_bn_relu, initialise
from handpose_lib.nets.graph import GraphConvolution, Similarity, normalised_adjacency
from handpose_lib.nets.hourglass import Hourglass
from handpose_lib.nets.spatial import expectation, gather, scatter_mean, spatial_softmax
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
from handpose_lib.skeleton import Skeleton

TITLE = "JGR-P2O"

# --- Configuration ------------------------------------------------------------

CHOICES = {
    "reasoning": ("skeleton", "feature_similarity", "parameterised", "attention", "none"),
    "head": ("offsets", "heatmaps"),
    "uv_scale": ("exact", "reference"),
}


@dataclass(frozen=True)
class Config:
    """Defaults are the paper's.

    size            pixels of the square input; the maps are size/4
    channels        width of the hourglasses
    stacks, depth   number of hourglasses, and how often each halves the map
    reasoning       the graph of the joints ('skeleton', 'feature_similarity', 'parameterised');
                    'attention' (Fig. 3) instead of a graph; 'none': all pixels count alike
    head            'offsets' (P2O), or 'heatmaps' with a depth map each (the DHM baseline)
    beta, delta     weight of the offset loss; where the Huber loss turns linear (the paper gives
                    none: the code's)
    uv_scale        'exact': one geometry throughout. 'reference': as the code, pixel/95 when
                    training, ·96 when decoding (predictions stretched by 1/95 from the corner), and
                    map pixels at X/23
    clip_targets    coordinates of joints clipped to [-1, 1]
    initial_std     standard deviation of the initial kernels (the code's): small, so that at first
                    all pixels vote alike, with offsets near zero
    """

    size: int = 96
    channels: int = 128
    stacks: int = 2
    depth: int = 3
    reasoning: str = "skeleton"
    head: str = "offsets"
    beta: float = 1e-4
    delta: float = 0.01
    uv_scale: str = "exact"
    clip_targets: bool = True
    initial_std: float = 0.01

    def __post_init__(self):
        for name, accepted in CHOICES.items():
            one_of(name, getattr(self, name), accepted)
        for name, unit in (("size", 4), ("channels", 8), ("stacks", 1), ("depth", 1)):
            check_multiple(self, name, unit)
        check_positive(self, "delta", "initial_std")
        if not 0 <= self.beta < inf:
            raise HandPoseError(f"beta {self.beta!r}: accepted are finite numbers ≥ 0")


# --- Network ------------------------------------------------------------------


class StackOutput(NamedTuple):
    """Output of one stack in coordinates (u, v, z), for J joints and h = w = size/4.

    joints    (B, J, 3)
    pixels    (B, 3, h, w) coordinates of the maps' pixels
    offsets   (B, 3, J, h, w) from pixel to joint; None for heat maps
    weights   (B, J, h, w) of each pixel's vote, 1 in sum; None in targets, which do not fix them
    """

    joints: torch.Tensor
    pixels: torch.Tensor
    offsets: torch.Tensor | None
    weights: torch.Tensor | None


class JGRP2O(Method):
    """1.4 M parameters at the paper's size; 24×24 maps from a 96×96 crop."""

    grid: torch.Tensor

    def __init__(self, skeleton: Skeleton, variant: str = "paper", config: Config = Config()):
        super().__init__("jgr_p2o", variant, skeleton, config)
        joints, c = len(skeleton), config.channels
        self.stem = nn.Sequential(
            conv_bn_relu(1, c // 4, kernel=7, stride=2),
            Residual(c // 4, c // 2),
            nn.MaxPool2d(2),
            Residual(c // 2, c // 2),
            Residual(c // 2, c),
        )
        self.stacks = nn.ModuleList(Stack(config, joints) for _ in range(config.stacks))
        self.links = nn.ModuleList(Link(config, joints) for _ in range(config.stacks - 1))
        initialise(self, config.initial_std)
        # One matrix of edges serves all stacks.
        if config.reasoning == "parameterised":
            self.edges = nn.Parameter(torch.full((joints, joints), 1e-6))
        else:
            self.register_buffer(
                "edges", normalised_adjacency(joints, skeleton.bones), persistent=False
            )
        self.register_buffer("grid", _grid(config), persistent=False)
        channels_last(self)

    def encode(self, crops: Crops) -> torch.Tensor:
        """Return depth in [-1, 1], background +1: (B, 1, size, size)."""
        return prepare.image(crops, self.config.size)

    def forward(self, x: torch.Tensor) -> list[StackOutput]:
        size = self.config.size
        if x.ndim != 4 or x.shape[1:] != (1, size, size):
            raise HandPoseError(
                f"input of shape {tuple(x.shape)}: accepted is (B, 1, {size}, {size})"
            )
        pixels = self._pixels(x)
        x = self.stem(x)
        y = []
        for stack, link in zip(self.stacks, [*self.links, None]):
            features, maps, output = stack(x, pixels, self.edges)
            y.append(output)
            if link is not None:
                x = link(x, features, maps)
        return y

    def _pixels(self, x: torch.Tensor) -> torch.Tensor:
        """Return the coordinates (B, 3, h, w) of the maps' pixels.

        They are the grid, and the depth of every fourth input pixel.
        """
        z = x[:, :, ::4, ::4]
        return torch.cat((self.grid.to(z.dtype).expand(len(z), -1, -1, -1), z), 1)

    # --- Targets --------------------------------------------------------------

    def targets(self, crops: Crops) -> StackOutput:
        """Return the joints, and each pixel's offset to each of them."""
        joints, pixels = self._uvz(crops), self._pixels(self.encode(crops))
        return StackOutput(joints, pixels, _offsets(joints, pixels), None)

    def _uvz(self, crops: Crops) -> torch.Tensor:
        """Return the crops' joints (B, J, 3) in the paper's coordinates."""
        n = prepare.to_view(self._true_joints(crops), crops)
        size = self.config.size
        uv = (n[..., :2] + 1) / 2
        if self.config.uv_scale == "reference":
            uv = (uv * size - 0.5) / (size - 1)
        uvz = torch.cat((uv, n[..., 2:]), -1)
        return uvz.clamp(-1, 1) if self.config.clip_targets else uvz

    # --- Loss -----------------------------------------------------------------

    def loss(self, y: list[StackOutput], crops: Crops) -> dict[str, torch.Tensor]:
        """Return 'coord' (Eq. 7) + β 'offset' (Eq. 8), over all stacks (Eq. 9).

        Everything is summed, also over the batch: the paper's sums are no means, and neither are
        the code's over the batch. The balance with a coupled weight decay is thus that of batches
        of 32.
        """
        true = self._uvz(crops)
        terms = {"coord": add(self._huber(output.joints, true) for output in y)}
        terms["total"] = terms["coord"]
        if self.config.beta and self.config.head == "offsets":
            offsets = _offsets(true, y[0].pixels)
            terms["offset"] = add(self._huber(output.offsets, offsets) for output in y)
            terms["total"] = terms["coord"] + self.config.beta * terms["offset"]
        return terms

    def _huber(self, value: torch.Tensor | None, true: torch.Tensor) -> torch.Tensor:
        assert value is not None
        return F.huber_loss(value, true.to(value.dtype), reduction="sum", delta=self.config.delta)

    # --- Decode ---------------------------------------------------------------

    def decode(self, y: list[StackOutput], crops: Crops) -> torch.Tensor:
        """Return the joints (B, J, 3), mm in the camera frame, from the last stack."""
        u, v, z = y[-1].joints.to(crops.centre.dtype).unbind(-1)
        uv, size = torch.stack((u, v), -1), self.config.size
        if self.config.uv_scale == "reference":
            uv = (uv * size + 0.5) / size
        return prepare.from_view(torch.cat((uv * 2 - 1, z[..., None]), -1), crops)


class Stack(nn.Module):
    """Hourglass, reasoning about the joints, and the maps whose pixels vote for them."""

    def __init__(self, config: Config, joints: int):
        super().__init__()
        c, self.heatmaps = config.channels, config.head == "heatmaps"
        self.hourglass = nn.Sequential(Hourglass(Residual, c, config.depth), Residual(c, c))
        if config.reasoning == "none":
            self.reasoning = Uniform(joints)
        elif config.reasoning == "attention":
            self.reasoning = Attention(c, joints)
        else:
            self.reasoning = JointGraphReasoning(
                c, joints, config.reasoning == "feature_similarity"
            )
        self.head = Conv(c, _maps(config) * joints)

    def forward(
        self, x: torch.Tensor, pixels: torch.Tensor, edges: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, StackOutput]:
        features, weights = self.reasoning(self.hourglass(x), edges)
        maps = self.head(features)
        joints = weights.shape[1]
        if self.heatmaps:  # a soft-max map gives (u, v), and weights for a map of depths
            heat, depth = maps.unflatten(1, (2, joints)).unbind(1)
            weights, offsets = spatial_softmax(heat), None
            votes = torch.cat(
                (pixels[:, :2, None].expand(-1, -1, joints, -1, -1), depth[:, None]), 1
            )
        else:
            offsets = maps.unflatten(1, (3, joints))
            votes = pixels[:, :, None] + offsets
        return (
            features,
            maps,
            StackOutput(expectation(weights, votes), pixels, offsets, weights),
        )  # Eq. 6


class JointGraphReasoning(nn.Module):
    """From pixels to joints, among the joints, and back to the pixels (Section 3.2).

    Returns the features x̄ and the weights W.
    """

    def __init__(self, channels: int, joints: int, similarity: bool):
        super().__init__()
        self.vote = Conv(channels, joints, bias=True)  # φ
        self.transform = conv_bn_relu(channels, channels)  # ϕ
        self.graph = GraphConvolution(channels)
        self.similarity = Similarity(channels) if similarity else None
        self.context = conv_bn_relu(channels, channels)  # ρ
        self.fuse = conv_bn_relu(2 * channels, channels)  # τ

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        weights = spatial_softmax(self.vote(x))  # Eq. 1
        f = gather(weights, self.transform(x))  # Eq. 2
        f = self.graph(f, self.similarity(f) if self.similarity else edges)  # Eq. 3
        c = self.context(scatter_mean(weights, f))  # Eq. 4
        return self.fuse(torch.cat((c, x), 1)), weights  # Eq. 5


class Attention(nn.Module):
    """The baseline of Fig. 3: a residual module before the weights, and one before the offsets."""

    def __init__(self, channels: int, joints: int):
        super().__init__()
        self.vote = nn.Sequential(Residual(channels, channels), Conv(channels, joints, bias=True))
        self.features = Residual(channels, channels)

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.features(x), spatial_softmax(self.vote(x))


class Uniform(nn.Module):
    """P2O alone: every pixel has the same weight."""

    def __init__(self, joints: int):
        super().__init__()
        self.joints = joints

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        b, _, h, w = x.shape
        return x, x.new_full((1, 1, 1, 1), 1 / (h * w)).expand(b, self.joints, h, w)


class Link(nn.Module):
    """The input of the next stack: the sum of its predecessor's input, features and maps."""

    def __init__(self, config: Config, joints: int):
        super().__init__()
        c = config.channels
        self.features, self.maps = conv_bn_relu(c, c), conv_bn_relu(_maps(config) * joints, c)

    def forward(self, x: torch.Tensor, features: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        return x + self.maps(maps) + self.features(features)


def _maps(config: Config) -> int:
    """Return the number of maps per joint: offsets along u, v and z, or heat map and depth map."""
    return 3 if config.head == "offsets" else 2


def _offsets(joints: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """Return the offsets from pixel to joint: (B, J, 3), (B, 3, h, w) → (B, 3, J, h, w)."""
    return joints.transpose(1, 2)[..., None, None] - pixels[:, :, None]


def _grid(config: Config) -> torch.Tensor:
    """Return u and v of the maps' pixels, (2, h, w): pixel X lies where input pixel 4X is."""
    n = config.size // 4
    x = torch.arange(n, dtype=torch.float32)
    x = x / (n - 1) if config.uv_scale == "reference" else (4 * x + 0.5) / config.size
    return torch.stack((x.expand(n, n), x[:, None].expand(n, n)))


# --- Variants -----------------------------------------------------------------

METHOD = JGRP2O
VARIANTS = {
    "paper": Variant("Two stacks, skeleton graph (Tables 1 to 5; '+ JGR' of Table 2)"),
    "feature_similarity": Variant(
        "Graph from the similarity of joint features (Table 1)",
        {"reasoning": "feature_similarity"},
    ),
    "parameterised": Variant(
        "Graph learned as a free matrix (Table 1)", {"reasoning": "parameterised"}
    ),
    "p2o": Variant(
        "P2O alone: plain mean over the pixels, coordinate loss only (Table 2)",
        {"reasoning": "none", "beta": 0.0},
    ),
    "p2o_offset": Variant("P2O with the offset loss (Table 2)", {"reasoning": "none"}),
    "stacks_1": Variant("One hourglass (Table 3)", {"stacks": 1}),
    "stacks_3": Variant("Three hourglasses (Table 3)", {"stacks": 3}),
    "attention": Variant(
        "Baseline: an attention module instead of the graph (Table 4)",
        {"reasoning": "attention"},
    ),
    "dhm": Variant(
        "Baseline: differentiable heat maps instead of offsets (Table 4)",
        {"head": "heatmaps"},
    ),
    "small": Variant(
        "For exercises: one stack of 64 channels on 64×64 crops",
        {"stacks": 1, "channels": 64, "size": 64},
    ),
}


# --- Recipes ------------------------------------------------------------------

# mm: sides of the cube in training and in the test (the code's; the paper gives none). Synthetic
# frames take NYU's, since a smaller cube at the centre of mass cuts fingers off. Sets that are not
# in the paper take the side in their spec.
CUBES = {
    **{name: ((cube,), cube) for name, cube in dataset_specs.CUBES.items()},
    "synthetic": ((250.0, 260.0, 270.0, 280.0, 290.0, 300.0), 250.0),
    "nyu": ((250.0, 260.0, 270.0, 280.0, 290.0, 300.0), 250.0),
    "msra": ((150.0, 160.0, 170.0, 180.0, 190.0, 200.0), 175.0),
    "icvl": ((250.0,), 250.0),
}
DATASETS = tuple(CUBES)

SMALL = {"channels": 64, "size": 48}
"""Half the width on smaller crops: the network of every variant in profile 'ablation' and, with one
stack, in 'smoke'.
"""


def recipe(dataset: str, profile: str, variant: Variant) -> Recipe:
    """Return how the variant is trained on a data set.

    'paper': Section 4.1 and, where it is silent, the code: β₁ = 0.5, coupled weight decay, a
    warm-up of 100 updates from 0.34, one kind of augmentation per sample, sizes and shifts from
    clipped normal distributions, refined centres. The rate is the paper's 10⁻⁴ (the code's on NYU
    is twice that).
    The other profiles are ours: the paper's rate is far too low for minutes. The rate falls to zero
    along half a cosine, weight decay is decoupled, and augmentation is mild around the test's cube,
    since hardly any frame is seen three times. Targets are not clipped: a cube at the centre of
    mass cuts fingers off, and clipped labels would be wrong.
    """
    cube_train, cube_test = CUBES[dataset]
    if profile == "paper":
        return Recipe(
            profile,
            "adam",
            lr=1e-4,
            betas=(0.5, 0.999),
            weight_decay=5e-5,
            weight_decay_mode="coupled",
            schedule="exponential",
            gamma=0.96,
            warmup=100,
            warmup_from=0.34,
            batch=32,
            epochs=8 if dataset == "icvl" else 58,
            epoch_frames=SYNTHETIC_EPOCH if dataset == "synthetic" else None,
            augmentation={
                "rotation": (-pi, pi),
                "scale": (0.9, 1.1),
                "translation": 10.0,
                "deviations": {"scale": 0.05, "translation": 10.0},
                "one_at_a_time": True,
            },
            cube_train=cube_train,
            cube_test=cube_test,
            centre="refined" if dataset in ("nyu", "msra", "icvl") else None,
            rotated_copies=dataset == "icvl",
        )
    # With few frames, many updates achieve more than large batches.
    network, batch = {"clip_targets": False}, 8
    if profile == "smoke":
        network, epochs, epoch_frames = {**SMALL, "stacks": 1, **network}, 4, 3_000
    elif profile in ABLATION_EPOCH:
        network, epochs, epoch_frames = {**SMALL, **network}, 10, ABLATION_EPOCH[profile]
    elif Config(**variant.config).channels < Config.channels:  # small as it is
        epochs, epoch_frames, batch = 10, 9_000, 16
    else:  # four times as many coarse crops as fine ones take the same time, and teach more
        network, epochs, epoch_frames, batch = {"size": 48, **network}, 10, 5_400, 16
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
        cube_train=(cube_test,),
        cube_test=cube_test,
        network=network,
        parts=2 if profile == "laptop" else 1,
    )
