"""V2V-PoseNet: voxel-to-voxel prediction for 3D hand and human pose estimation
(Moon et al., CVPR 2018).

A depth image is a set of points. They fill a cube of voxels, free from perspective, and a 3D
encoder-decoder predicts for every voxel how likely each joint lies in it. The most likely voxel is
the joint.

Coordinates: [-1, 1]³ spans the cube; input voxels are the `size`³ of the occupancy, output voxels
half as many along each axis. Equation, section and table numbers are the paper's; 'the code' is the
authors', 'the port' a later one in PyTorch, which counts voxels in another way.
"""

from dataclasses import dataclass, replace
from math import radians
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from handpose_lib import dataset_specs, prepare
from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.frames import Crops
from handpose_lib.nets.blocks import channels_last
from handpose_lib.nets.likelihood import (
    arg_max,
    gaussian_maps,
    log_gaussian_maps,
    soft_arg_max,
    top_k,
)
from handpose_lib.nets.volume import EncoderDecoder, Residual, conv, conv_bn_relu, max_pool
from handpose_lib.papers.method import (
    ABLATION_EPOCH,
    SYNTHETIC_EPOCH,
    Method,
    Recipe,
    Variant,
    check_multiple,
    check_positive,
)
from handpose_lib.prepare import voxels
from handpose_lib.skeleton import Skeleton

TITLE = "V2V-PoseNet"

# --- Configuration ------------------------------------------------------------

CHOICES = {
    "input": ("voxels", "depth"),
    "output": ("likelihood", "coordinates"),
    "convention": ("authors", "port"),
    "loss": ("mean", "sum", "cross_entropy"),
    "read_out": ("arg_max", "top_k", "soft_arg_max"),
}


@dataclass(frozen=True)
class Config:
    """Defaults are the paper's or, where it is silent or its code differs, the code's.

    size            voxels (pixels) along a side of the input; the output has half as many
    width           channels of the stem; the three levels have 2, 4 and 8 times as many
    input, output   of the four combinations of Table 1
    hidden          units of the two layers before coordinates. The paper does not print it; this
                    number reproduces its 21.1 M and 457.5 M parameters
    sigma           standard deviation of the Gaussian in output voxels (Eq. 1)
    convention      how coordinates become output voxels and back: `to_output_voxels`,
                    `from_output_voxels`
    loss            'mean' over all voxels (the code), 'sum' over them (Eq. 2), or the
                    'cross_entropy' between distributions over the voxels (ours), which suits
                    soft-argmax
    initial_std     standard deviation of the initial kernels (Section 7)

    Fields of the decoding, which `decode` takes as well:

    read_out        'arg_max' (the paper); the weighted mean of the 'top_k' (3D hourglass);
                    'soft_arg_max'
    k               voxels of top_k
    sharpness       of the softmax: 1 after cross entropy; likelihoods of height 1 need about 20
    """

    size: int = 88
    width: int = 16
    input: str = "voxels"
    output: str = "likelihood"
    hidden: int = 1024
    sigma: float = 1.7
    convention: str = "authors"
    loss: str = "mean"
    initial_std: float = 0.001
    read_out: str = "arg_max"
    k: int = 27
    sharpness: float = 1.0

    def __post_init__(self):
        for name, accepted in CHOICES.items():
            one_of(name, getattr(self, name), accepted)
        for name, unit in (("size", 8), ("width", 1), ("hidden", 1), ("k", 1)):
            check_multiple(self, name, unit)
        check_positive(self, "sigma", "initial_std", "sharpness")
        if self.loss == "cross_entropy" and self.output == "coordinates":
            raise HandPoseError(
                "loss 'cross_entropy' with output 'coordinates': accepted are 'mean' and 'sum'"
            )


# --- Output voxels ------------------------------------------------------------
#
# Two conventions, each a pair of functions. Mixing them, one for the targets and the other for
# decoding, shifts joints by half an input voxel along every axis, 1.1 to 1.4 mm. The method
# therefore has one field for both.


def to_output_voxels(n: torch.Tensor, size: int, convention: str) -> torch.Tensor:
    """Return coordinates (..., 3) in [-1, 1]³ in output voxels: there lies the Gaussian's centre.

    'authors': half the index of the input voxel that holds the joint. 'port': the joint's own
    position, continuous, the middle of output voxel m at m. `size` counts input voxels.
    """
    if one_of("convention", convention, CHOICES["convention"]) == "authors":
        return ((n + 1) * (size / 2)).floor() / 2
    return voxels.to_voxels(n, size // 2)


def from_output_voxels(position: torch.Tensor, size: int, convention: str) -> torch.Tensor:
    """Return the coordinates of positions (..., 3) in output voxels.

    Voxel m gives the middle of input voxel 2m ('authors') or of output voxel m ('port').
    """
    if one_of("convention", convention, CHOICES["convention"]) == "authors":
        return voxels.from_voxels(2 * position, size)
    return voxels.from_voxels(position, size // 2)


# --- Network ------------------------------------------------------------------


class StackOutput(NamedTuple):
    """Output of the network, which is one stack, for J joints and s = size/2; one part is None.

    likelihood   (B, J, s, s, s), stored [z][y][x]; linear, no sigmoid
    joints       (B, J, 3) in the cube, of the variants that regress coordinates
    """

    likelihood: torch.Tensor | None = None
    joints: torch.Tensor | None = None


class V2VPoseNet(Method):
    """3.4 M parameters at the paper's width and any size; 44³ voxels for each joint from 88³."""

    def __init__(self, skeleton: Skeleton, variant: str = "paper", config: Config = Config()):
        super().__init__("v2v_posenet", variant, skeleton, config)
        joints, c, s = len(skeleton), config.width, config.size // 2
        d = 3 if config.input == "voxels" else 2
        self.stem = nn.Sequential(
            conv_bn_relu(1, c, 7, dimensions=d),
            max_pool(d),
            Residual(c, 2 * c, d),
            Residual(2 * c, 2 * c, d),
            Residual(2 * c, 2 * c, d),
        )
        self.encoder_decoder = EncoderDecoder((2 * c, 4 * c, 8 * c), dimensions=d)
        self.last = nn.Sequential(*(conv_bn_relu(2 * c, 2 * c, dimensions=d) for _ in range(2)))
        if config.output == "likelihood":  # in two dimensions the slices of depth are channels
            self.head = conv(2 * c, joints * s ** (3 - d), dimensions=d)
        else:
            self.head = nn.Sequential(
                nn.Flatten(),
                nn.Linear(2 * c * s**d, config.hidden),
                nn.ReLU(inplace=True),
                nn.Linear(config.hidden, config.hidden),
                nn.ReLU(inplace=True),
                nn.Linear(config.hidden, 3 * joints),
            )
        self._initialise()
        channels_last(self, d)

    def _initialise(self) -> None:
        """Draw normal kernels and set biases to zero (Section 7); batch norms stay PyTorch's."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
                assert module.bias is not None
                nn.init.normal_(module.weight, std=self.config.initial_std)
                nn.init.zeros_(module.bias)

    def encode(self, crops: Crops) -> torch.Tensor:
        """Return the occupancy, (B, 1, size, size, size) (Section 5).

        With input 'depth': depth in [-1, 1], background +1, (B, 1, size, size).
        """
        if self.config.input == "voxels":
            return voxels.occupancy(crops, self.config.size)
        return prepare.image(crops, self.config.size)

    def forward(self, x: torch.Tensor) -> list[StackOutput]:
        sides = (self.config.size,) * (3 if self.config.input == "voxels" else 2)
        if x.shape[1:] != (1, *sides):
            raise HandPoseError(
                f"input of shape {tuple(x.shape)}: accepted is (B,"
                f" {', '.join(map(str, (1, *sides)))})"
            )
        y = self.head(self.last(self.encoder_decoder(self.stem(x))))
        if self.config.output == "coordinates":
            return [StackOutput(joints=y.unflatten(1, (-1, 3)))]
        return [StackOutput(y if y.ndim == 5 else y.unflatten(1, (len(self.skeleton), -1)))]

    # --- Targets --------------------------------------------------------------

    def targets(self, crops: Crops) -> StackOutput:
        """Return a Gaussian of height 1 around each joint (Eq. 1), its logarithm for cross entropy.

        With output 'coordinates': the coordinates.
        """
        n = self._to_normalised(self._true_joints(crops), crops)
        if self.config.output == "coordinates":
            return StackOutput(joints=n)
        draw = log_gaussian_maps if self.config.loss == "cross_entropy" else gaussian_maps
        centres = to_output_voxels(n, self.config.size, self.config.convention)
        return StackOutput(draw(centres, self.config.size // 2, self.config.sigma))

    def _to_normalised(self, xyz: torch.Tensor, crops: Crops) -> torch.Tensor:
        """Return points (B, N, 3) mm in [-1, 1]³ of the view, if maps lie over it, or the cube."""
        return (prepare.to_view if self._over_pixels else prepare.xyz_to_cube)(xyz, crops)

    def _to_xyz(self, n: torch.Tensor, crops: Crops) -> torch.Tensor:
        """Return the points in mm: the inverse of `_to_normalised`."""
        return (prepare.from_view if self._over_pixels else prepare.cube_to_xyz)(n, crops)

    @property
    def _over_pixels(self) -> bool:
        return (self.config.input, self.config.output) == ("depth", "likelihood")

    # --- Loss -----------------------------------------------------------------

    def loss(self, y: list[StackOutput], crops: Crops) -> dict[str, torch.Tensor]:
        """Return the squared error of likelihoods or coordinates (Eq. 2), or the cross entropy.

        The squared error is a mean over everything, or the sum of each frame averaged over the
        batch. The cross entropy takes both volumes as logarithms of distributions over a joint's
        voxels, and is the mean over joints. A joint outside the cube counts too: its Gaussian is
        highest at the face that is nearest to it.
        """
        output, true = y[-1], self.targets(crops)
        name = "likelihood" if output.joints is None else "joints"
        found, target = getattr(output, name), getattr(true, name)
        found = found.to(target.dtype)
        if self.config.loss == "cross_entropy":
            found, target = found.flatten(2), target.flatten(2)
            error = (found.logsumexp(-1) - (target.softmax(-1) * found).sum(-1)).mean()
        else:
            error = F.mse_loss(found, target)
            if self.config.loss == "sum":  # Eq. 2, mean over frames
                error = error * found[0].numel()
        return {name: error, "total": error}

    # --- Decode ---------------------------------------------------------------

    def decode(self, y: list[StackOutput], crops: Crops, **options: Any) -> torch.Tensor:
        """Return the joints (B, J, 3), mm in the camera frame.

        `options` replace `read_out`, `k` and `sharpness` of the configuration.
        """
        for name in options:
            one_of("option of v2v_posenet's read-out", name, READ_OUT)
        config, output = replace(self.config, **options) if options else self.config, y[-1]
        if output.joints is not None:
            return prepare.cube_to_xyz(output.joints.to(crops.centre.dtype), crops)
        assert output.likelihood is not None
        volume = output.likelihood.to(crops.centre.dtype)
        if config.read_out == "top_k":
            if config.loss == "cross_entropy":  # logarithms: heights again
                volume = volume.flatten(2).softmax(-1).reshape(volume.shape)
            position = top_k(volume, config.k)
        elif config.read_out == "soft_arg_max":
            position = soft_arg_max(volume, config.sharpness)
        else:
            position = arg_max(volume)
        return self._to_xyz(from_output_voxels(position, config.size, config.convention), crops)

    @property
    def read_outs(self) -> dict[str, dict[str, Any]]:
        """The two other ways to read a joint off its likelihood; coordinates need none."""
        if self.config.output == "coordinates":
            return {}
        sharpness = 1.0 if self.config.loss == "cross_entropy" else SHARPNESS
        ways = {name: {"read_out": name} for name in CHOICES["read_out"]}
        ways["soft_arg_max"]["sharpness"] = sharpness
        return {name: way for name, way in ways.items() if name != self.config.read_out}


SHARPNESS = 20.0
"""Of soft-argmax over likelihoods of height 1, whose maxima a softmax would otherwise drown."""
READ_OUT = ("read_out", "k", "sharpness")
"""Fields that may change after training. The convention may not: the targets were drawn by it."""

# --- Variants -----------------------------------------------------------------

METHOD = V2VPoseNet
VARIANTS = {
    "paper": Variant("88³ voxels to likelihoods, the last epoch's weights (Table 2)"),
    "refined_centre": Variant(
        "The same, in cubes around centres that the book's network refines (Table 2)",
        training={"centre": "refined"},
    ),
    "crude_centre": Variant(
        "The same, in cubes around the centre of mass (Table 2)", training={"centre": "mass"}
    ),
    # A constant rate, as the paper's: networks that no longer change are not worth averaging.
    "last_epoch": Variant(
        "The last epoch of the training whose epochs are averaged (Table 2)",
        training={"schedule": "exponential"},
    ),
    "epoch_ensemble": Variant(
        "The same, joints averaged over the networks of all epochs (Table 2)",
        training={"ensemble": True, "keep_epochs": True, "schedule": "exponential"},
    ),
    "voxels_likelihood": Variant("48³ voxels to likelihoods (Table 1)", {"size": 48}),
    "voxels_coordinates": Variant(
        "48³ voxels to coordinates (Table 1)",
        {"size": 48, "output": "coordinates"},
    ),
    "depth_likelihood": Variant(
        "48² pixels to likelihoods, twice as wide (Table 1)",
        {"size": 48, "input": "depth", "width": 32},
    ),
    "depth_coordinates": Variant(
        "48² pixels to coordinates (Table 1)",
        {"size": 48, "input": "depth", "output": "coordinates"},
    ),
    # Both fields are the defaults; a recipe keeps the loss that a variant sets.
    "squared_error": Variant(
        "The paper's loss and arg-max, on a CPU as well", {"loss": "mean", "read_out": "arg_max"}
    ),
    "small": Variant(
        "For exercises: a quarter of the width on 24³ voxels",
        {"size": 24, "width": 4, "sigma": 1.0},
    ),
}


# --- Recipes ------------------------------------------------------------------

# mm: side of the cube, which stands in the code only; of other sets, the side in their spec.
CUBES = {
    **dataset_specs.CUBES,
    "synthetic": 250.0,
    "nyu": 250.0,
    "msra": 200.0,
    "icvl": 200.0,
    "hands17": 250.0,
    "itop": 2000.0,
}
DATASETS = tuple(CUBES)

SMALL = {"width": 8, "size": 32, "sigma": 1.0, "hidden": 256, "initial_std": 0.03}
"""Half the width on 32³ voxels, for all networks in profile 'laptop'. Those of Table 1, and in
'ablation' all, have 24³ voxels (24² pixels).
"""


def recipe(dataset: str, profile: str, variant: Variant) -> Recipe:
    """Return how the variant is trained on a data set.

    'paper': Section 7, and the constants of RMSProp that the code leaves at Torch's. Shifts are the
    code's, up to 4 input voxels along each axis, where the text says 8. Centres are refined, as in
    Section 4; the embedded set's own stand in for them, and on bodies, for which the book has no
    refiner, the true ones.
    The other profiles are ours, as for the other methods: a rate that falls to zero along half a
    cosine, mild augmentation, and cross entropy with soft-argmax in the port's convention: with
    voxels of 16 mm, arg-max and whole input voxels would dominate the error. The initial kernels
    are larger, since one of our updates would move the paper's by more than their size. A variant
    that sets its loss keeps it.
    """
    cube, config = CUBES[dataset], Config(**variant.config)
    if profile == "paper":
        return Recipe(
            profile,
            "rmsprop",
            lr=2.5e-4,
            betas=(0.0, 0.99),
            schedule="exponential",
            batch=8,
            epochs=10,
            epoch_frames=SYNTHETIC_EPOCH if dataset == "synthetic" else None,
            augmentation={
                "rotation": (-radians(40), radians(40)),
                "scale": (1.0, 1.0),
                "zoom": (0.8, 1.2),
                "translation": 4 * cube / config.size,
            },
            cube_train=(cube,),
            cube_test=cube,
            centre=None if dataset == "synthetic" or dataset_specs.get(dataset).body else "refined",
            rotated_copies=dataset == "icvl",
            keep_epochs=True,
        )
    small = config.width < Config.width
    network, epochs, parts = dict(SMALL), 10, 1
    if profile == "smoke":
        network, epochs, epoch_frames = {**SMALL, "width": 4, "size": 24}, 4, 900
    elif profile in ABLATION_EPOCH:
        epoch_frames = ABLATION_EPOCH[profile]
    else:
        epoch_frames, parts = 4_500 if small else 1_800, 2
    if small:  # small enough as it is
        network = {"initial_std": SMALL["initial_std"]}
    else:
        network["width"] *= config.width // Config.width
        if config.size < Config.size or profile in ABLATION_EPOCH:
            network["size"] = 24
    if config.output == "likelihood" and "loss" not in variant.config:
        network |= {"loss": "cross_entropy", "read_out": "soft_arg_max"}
    return Recipe(
        profile,
        "adamw",
        lr=2e-3,
        weight_decay=1e-3,
        weight_decay_mode="decoupled",
        schedule="cosine",
        warmup=100,
        warmup_from=0.05,
        batch=8 * parts,
        epochs=epochs,
        epoch_frames=epoch_frames,
        augmentation={"rotation": (-0.3, 0.3), "scale": (0.95, 1.05), "translation": 5.0},
        cube_train=(cube,),
        cube_test=cube,
        network={**network, "convention": "port"},
        parts=parts,
    )
