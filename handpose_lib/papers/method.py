"""What every paper's module consists of: a method, its variants, and a recipe for training each."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

import torch
from torch import nn

from handpose_lib.errors import HandPoseError
from handpose_lib.frames import Crops
from handpose_lib.skeleton import Skeleton

PROFILES = ("smoke", "ablation", "evidence", "laptop", "paper")
"""How much a training may cost: a minute; every variant side by side at reduced width, a few
minutes each; the same with four times the frames; the paper's own network in at most ten minutes;
the paper's own schedule. All but the last for two CPU cores.
"""

ABLATION_EPOCH = {"ablation": 1_200, "evidence": 4_800}
"""Frames of an epoch in the profiles that compare variants, whatever the paper and the variant."""

SYNTHETIC_EPOCH = 72_757
"""Frames that make an epoch of endless synthetic ones: as many as NYU's training set has."""


class Method(nn.Module, ABC):
    """A network together with its input, its targets, its loss and the decoding of its output.

        method.before_training(batches)  # once, with the training crops
        x = method.encode(crops)         # the network's input
        y = method(x)                    # outputs, one entry per stack
        method.targets(crops)            # what one entry of y should be
        method.loss(y, crops)['total']   # a scalar, beside each named term of the paper's loss
        method.decode(y, crops)          # (B, J, 3) mm in the camera frame

    None of these, except `before_training`, waits for the device, and all depend on nothing but
    their arguments and the network's weights.
    """

    def __init__(self, name: str, variant: str, skeleton: Skeleton, config: Any):
        super().__init__()
        self.name, self.variant, self.skeleton, self.config = name, variant, skeleton, config

    @abstractmethod
    def encode(self, crops: Crops) -> torch.Tensor:
        """Return the network's input: what the view of the crops shows."""

    @abstractmethod
    def forward(self, x: torch.Tensor) -> list:
        """Return the outputs, one entry per stack."""

    @abstractmethod
    def targets(self, crops: Crops) -> Any:
        """Return what one entry of the outputs should be."""

    @abstractmethod
    def loss(self, y: list, crops: Crops) -> dict[str, torch.Tensor]:
        """Return the loss as scalars: 'total' and each named term."""

    @abstractmethod
    def decode(self, y: list, crops: Crops) -> torch.Tensor:
        """Return the joints (B, J, 3), mm in the camera frame."""

    @property
    def read_outs(self) -> Mapping[str, Mapping[str, Any]]:
        """Other ways to decode the same output: name → options of `decode`.

        The method's own, which its configuration says, is not among them.
        """
        return {}

    def before_training(self, batches: Iterable[Crops]) -> None:
        """Fit what must be known before the first update; most methods have nothing to fit.

        `batches`: all training frames once, as crops seen as in training, augmentation included. A
        method that has nothing to fit does not read them, so that an iterator costs nothing.
        """

    def parameter_groups(self, weight_decay: float) -> list[dict]:
        """Return the parameters as an optimiser takes them, in two groups.

        Kernels and batch-norm scales decay; biases and shifts do not.
        """
        decayed, free = [], []
        for name, parameter in self.named_parameters():
            (free if name.endswith("bias") else decayed).append(parameter)
        return [
            {"params": decayed, "weight_decay": weight_decay},
            {"params": free, "weight_decay": 0.0},
        ]

    def _true_joints(self, crops: Crops) -> torch.Tensor:
        """Return the crops' joints (B, J, 3), mm. Errors: none, or not the skeleton's number."""
        if crops.joints is None:
            raise HandPoseError(f"{self.name} needs joints for its targets: these crops have none")
        if crops.joints.shape[1] != len(self.skeleton):
            raise HandPoseError(
                f"crops with {crops.joints.shape[1]} joints: this {self.name} was created for "
                f"skeleton {self.skeleton.name} with {len(self.skeleton)}"
            )
        return crops.joints


@dataclass(frozen=True)
class Variant:
    """A row of a paper's ablation tables: what it changes decides how it is built and trained.

    summary    one line that says what it is
    config     fields of the method's configuration that differ, or that a profile must not replace
    training   fields of the recipe that differ in every profile
    """

    summary: str
    config: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """How a method is trained.

    optimiser            'adam' | 'adamw' | 'rmsprop'
    lr, betas            step size at its peak; moments (of RMSProp: momentum, and the smoothing of
                         the squares)
    weight_decay         strength; `weight_decay_mode` 'coupled' adds it to the gradient,
                         'decoupled' to the step
    schedule             'exponential' (× `gamma` every so many epochs, `every`) | 'steps' (×
                         `gamma` after each epoch of `drops`) | 'onecycle' | 'cosine' (to zero at
                         the last update)
    warmup               updates over which the rate climbs linearly from `warmup_from` × lr to lr
    batch, epochs        `epoch_frames` frames make one epoch; None = the whole set
    augmentation         keywords of `prepare.augment`
    cube_train           mm: sides of the cube, one of which is drawn per sample
    cube_test            mm: the side when scoring
    network              overrides of the method's configuration
    keep_epochs          keep the weights of every epoch beside the run, for an ensemble of them
    ensemble             test with the mean over the networks of all epochs
    centre               where cubes sit, as `prepare.batch` takes it, or found by a trained
                         network: 'refined' | 'detected'; None = what the set provides
    rotated_copies       train on ICVL's rotated copies as well, not only on its originals
    choose_epoch         set training frames aside and keep the weights of the epoch that is best on
                         them; otherwise all training frames count, and the last weights
    average              decay per update of averaged weights, which are then the ones scored; None
                         = off
    parts                threads that compute a batch, each on one core with its share (`training`
                         says how)
    precision            what Lightning Fabric calls it: '32-true', 'bf16-mixed', …
    """

    profile: str
    optimiser: str = "adam"
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    weight_decay_mode: str = "coupled"
    schedule: str = "exponential"
    gamma: float = 1.0
    every: int = 1
    drops: tuple[int, ...] = ()
    warmup: int = 0
    warmup_from: float = 0.0
    batch: int = 32
    epochs: int = 1
    epoch_frames: int | None = None
    augmentation: Mapping[str, Any] = field(default_factory=dict)
    cube_train: tuple[float, ...] = (250.0,)
    cube_test: float = 250.0
    network: Mapping[str, Any] = field(default_factory=dict)
    keep_epochs: bool = False
    ensemble: bool = False
    centre: str | None = None
    rotated_copies: bool = False
    choose_epoch: bool = False
    average: float | None = None
    parts: int = 1
    precision: str = "32-true"


# --- For the papers' modules --------------------------------------------------


def check_multiple(config: Any, name: str, unit: int, least: int | None = None) -> None:
    """Raise unless a field is a whole, positive multiple of `unit`, and at least `least`."""
    value = getattr(config, name)
    if not isinstance(value, int) or value < (least or unit) or value % unit:
        accepted = f"multiples of {unit} from {least}" if least else f"positive multiples of {unit}"
        raise HandPoseError(f"{name} {value!r}: accepted are {accepted}")


def check_positive(config: Any, *names: str) -> None:
    """Raise unless the named fields are finite numbers above 0."""
    for name in names:
        if not 0 < getattr(config, name) < inf:
            raise HandPoseError(
                f"{name} {getattr(config, name)!r}: accepted are finite numbers > 0"
            )


def add(terms: Iterable[torch.Tensor]) -> torch.Tensor:
    """Return the sum of at least one tensor."""
    total = sum(terms)
    assert isinstance(total, torch.Tensor)
    return total
