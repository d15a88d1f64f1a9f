"""What every paper's method offers, and what a recipe for training one says."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from handpose_lib.errors import HandPoseError
from handpose_lib.frames import Crops
from handpose_lib.skeleton import Skeleton

PROFILES = ("smoke", "ablation", "laptop", "paper")
"""How much a training may cost: a minute; every variant side by side at reduced width, a few
minutes each; the paper's own network in at most ten minutes; the paper's own schedule. All but the
last for two CPU cores.
"""


class Method(nn.Module, ABC):
    """A network together with the way into it and out of it.

        x = method.encode(crops)         # the network's input
        y = method(x)                    # outputs, one entry per stack
        method.targets(crops)            # what one entry of y should be
        method.loss(y, crops)['total']   # a scalar, beside each named term of the paper's loss
        method.decode(y, crops)          # (B, J, 3) mm in the camera frame

    None of these synchronises with the device, and none looks at anything but its arguments.
    """

    def __init__(self, name: str, variant: str, skeleton: Skeleton, config: Any):
        super().__init__()
        self.name, self.variant, self.skeleton, self.config = name, variant, skeleton, config

    @abstractmethod
    def encode(self, crops: Crops) -> torch.Tensor:
        """The network's input, from the view of the crops."""

    @abstractmethod
    def forward(self, x: torch.Tensor) -> list:
        """Outputs, one entry per stack."""

    @abstractmethod
    def targets(self, crops: Crops) -> Any:
        """What one entry of the outputs should be."""

    @abstractmethod
    def loss(self, y: list, crops: Crops) -> dict[str, torch.Tensor]:
        """Scalars: 'total' and each named term."""

    @abstractmethod
    def decode(self, y: list, crops: Crops) -> torch.Tensor:
        """(B, J, 3) mm in the camera frame."""

    def parameter_groups(self, weight_decay: float) -> list[dict]:
        """Parameters for an optimiser: kernels and batch-norm scales decay, biases and shifts do
        not.
        """
        decayed, free = [], []
        for name, parameter in self.named_parameters():
            (free if name.endswith("bias") else decayed).append(parameter)
        return [
            {"params": decayed, "weight_decay": weight_decay},
            {"params": free, "weight_decay": 0.0},
        ]

    def _true_joints(self, crops: Crops) -> torch.Tensor:
        """The crops' joints (B, J, 3) mm, or an error when there are none or too few."""
        if crops.joints is None:
            raise HandPoseError(f"{self.name} needs joints for its targets: these crops have none")
        if crops.joints.shape[1] != len(self.skeleton):
            raise HandPoseError(
                f"crops with {crops.joints.shape[1]} joints: this {self.name} was created for "
                f"skeleton {self.skeleton.name} with {len(self.skeleton)}"
            )
        return crops.joints


@dataclass(frozen=True)
class Recipe:
    """How a method is trained.

    optimiser            'adam' | 'adamw' | 'rmsprop'
    lr, betas            step size at its peak; moments (of RMSProp: momentum, and the smoothing of
                         the squares)
    weight_decay         strength; `weight_decay_mode` 'coupled' adds it to the gradient,
                         'decoupled' to the step
    schedule             'exponential' (× `gamma` every so many epochs, `every`) | 'onecycle' |
                         'cosine' (to zero at the last update)
    warmup               updates over which the rate climbs linearly from `warmup_from` × lr to lr
    batch, epochs        `epoch_frames` frames make one epoch; None = the whole set
    augmentation         keywords of `prepare.augment`
    cube_train           mm: sides of the cube, one of which is drawn per sample
    cube_test            mm: the side when scoring
    network              overrides of the method's configuration
    keep_epochs          keep the weights of every epoch beside the run, for an ensemble of them
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
    average: float | None = None
    parts: int = 1
    precision: str = "32-true"
