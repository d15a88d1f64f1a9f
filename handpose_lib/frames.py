"""The two containers of the library: a frame of a depth camera, and a batch of crops.

Data sets, the synthetic hand, preparation and methods exchange only these two.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch

from handpose_lib.camera import Camera
from handpose_lib.errors import HandPoseError, one_of

HANDS = ("right", "left")


@dataclass
class DepthFrame:
    """One camera image.

    `depth` (H, W) mm, 0 = not measured; `joints` (J, 3) mm in the camera frame or None;
    `centre` (3,) mm, a stored reference point, or None. Errors: shapes that do not fit the camera,
    depth or joints that are not finite, negative depth.
    """

    depth: torch.Tensor
    camera: Camera
    joints: torch.Tensor | None = None
    id: str = ""
    hand: str = "right"
    centre: torch.Tensor | None = None

    def __post_init__(self):
        size = (self.camera.height, self.camera.width)
        if tuple(self.depth.shape) != size:
            raise HandPoseError(
                f"frame {self.id!r}: depth {tuple(self.depth.shape)}, the camera's image is {size}"
            )
        if not bool(((self.depth >= 0) & torch.isfinite(self.depth)).all()):
            raise HandPoseError(
                f"frame {self.id!r}: negative or non-finite depth; accepted are mm ≥ 0, 0 = not"
                " measured"
            )
        for name, value, shape in (("joints", self.joints, (-1, 3)), ("centre", self.centre, (3,))):
            if value is None:
                continue
            if (
                value.ndim != len(shape)
                or value.shape[-1] != 3
                or not bool(torch.isfinite(value).all())
            ):
                raise HandPoseError(
                    f"frame {self.id!r}: {name} {tuple(value.shape)}; accepted are finite mm of"
                    " shape " + ("(J, 3)" if len(shape) == 2 else "(3,)")
                )
        one_of("hand", self.hand, HANDS)


@dataclass
class Crops:
    """A batch of depth windows at the camera's resolution, with the view that a network receives.

    The view is a cube in the camera frame, rotated, stretched or mirrored. Augmentation changes the
    view and never the window or the joints, which stay in the true camera frame.

    depth     (B, S, S) mm, native-resolution windows padded with 0
    origin    (B, 2) pixel (u, v) of the window's first element
    camera    (B, 4) [fx, fy, u0, v0]
    centre    (B, 3) mm, centre of the cube
    cube      (B,) mm, side of the cube
    rotation  (B,) rad, in-plane rotation of the view
    aspect    (B,) stretch of the view's x against its y
    mirror    (B,) −1 for left hands, so that a network always receives right ones, otherwise +1
    joints    (B, J, 3) mm in the camera frame, or None
    ids       B names
    """

    depth: torch.Tensor
    origin: torch.Tensor
    camera: torch.Tensor
    centre: torch.Tensor
    cube: torch.Tensor
    rotation: torch.Tensor
    aspect: torch.Tensor
    mirror: torch.Tensor
    joints: torch.Tensor | None
    ids: list[str]

    def __len__(self) -> int:
        return len(self.depth)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Crops":
        """Return the same batch on another device."""
        return self._map(lambda value: value.to(device, non_blocking=non_blocking))

    def index(self, rows: slice | torch.Tensor) -> "Crops":
        """Return the crops of `rows`, a slice or a 1-D tensor of indices."""
        chosen = self._map(lambda value: value[rows])
        numbers = torch.arange(len(self))[rows.cpu() if isinstance(rows, torch.Tensor) else rows]
        return replace(chosen, ids=[self.ids[i] for i in numbers.tolist()])

    def _map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> "Crops":
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(
            self, **{k: function(v) for k, v in tensors.items() if isinstance(v, torch.Tensor)}
        )
