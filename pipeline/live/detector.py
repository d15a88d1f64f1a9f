"""Exports the book's hand detector to ONNX; with it the live page finds the hand in an image.

    found = detector.open()                   # trained.load("hand_detector")
    detector.exported(found)                  # {"maps": ..., "look": ...}, bytes of ONNX models
    detector.described()                      # constants of the geometry between the two

The page computes what `Detector.forward` computes around its two networks; see
`pipeline/live/page/src/detector.js`.

    maps      depth (1, H, W) mm, float32, every n-th pixel of the image, of any size
              → heat (1, J, h, w) and behind (1, 1, h, w), with h = ⌈H/4⌉ and w = ⌈W/4⌉
    look      input (B, 1, 64, 64), float32, the view of a cube
              → place (B, 3), the hand's centre in the view, and odds (B,), the log odds of a hand
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

import torch
from torch import nn

from handpose_lib.hand_detection import hand_detector, trained
from handpose_lib.hand_detection.hand_detector import Detector
from handpose_lib.nets import blocks
from handpose_lib.nets.hourglass import Hourglass
from handpose_lib.prepare.locate import NEAR
from pipeline.live import DETECTOR, networks

SIDES = (96, 128)
"""Height and width of the image with which the first network is traced; it takes any size."""


def open() -> Detector:
    """Return the trained hand detector."""
    return trained.load(DETECTOR)


def exported(detector: Detector) -> dict[str, bytes]:
    """Return both ONNX models of a detector, as the module describes them."""
    with _of_any_size():
        maps = networks.onnx(
            Maps(detector).eval(), (torch.ones(1, *SIDES),), ["depth"], ["heat", "behind"], False
        )
    _free(maps.graph.input[0], {1: "height", 2: "width"})
    for output in maps.graph.output:
        _free(output, {2: "rows", 3: "columns"})
    del maps.graph.value_info[:]  # the sizes of the example
    size = hand_detector.SIZE
    look = networks.onnx(
        Look(detector).eval(),
        (torch.ones(2, 1, size, size),),
        ["input"],
        ["place", "odds"],
        dynamic_shapes={"input": {0: torch.export.Dim.DYNAMIC}},
    )
    return {"maps": maps.SerializeToString(), "look": look.SerializeToString()}


def described() -> dict[str, float]:
    """Return the constants of the detector's geometry, as in `hand_detector`."""
    names = ("FOCAL", "FAR", "RADIUS", "SURE", "AGREE", "PLACES", "CUBE", "SIZE", "VIEWS", "ASIDE")
    return {
        **{name.lower(): getattr(hand_detector, name) for name in names},
        "passes": hand_detector.PASSES,
        "near": NEAR,
        "noHand": hand_detector.NO_HAND,
    }


class Maps(nn.Module):
    """The first look: heat maps of the joints, and the depth of the hand's centre behind them."""

    def __init__(self, detector: Detector):
        super().__init__()
        self.detector = detector

    def forward(self, depth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.detector
        x = found.hourglass(found.stem(hand_detector.image(depth)))
        return found.joints(x), found.behind(x)


class Look(nn.Module):
    """The second look: the centre of the hand in the view of a cube, and the log odds of a hand."""

    def __init__(self, detector: Detector):
        super().__init__()
        self.look = detector.look

    def forward(self, input: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        said = self.look(input)
        return said[:, :-1].unflatten(1, (-1, 3)).mean(1), said[:, -1]


# --- a network for images of any size -------------------------------------------


@contextlib.contextmanager
def _of_any_size() -> Iterator[None]:
    """Let layers whose padding depends on the size of the image be traced for every size.

    PyTorch computes their padding; ONNX has operators that do.
    """
    with (
        mock.patch.object(blocks.Conv, "forward", _conv),
        mock.patch.object(Hourglass, "forward", _hourglass),
    ):
        yield


def _conv(self: blocks.Conv, input: torch.Tensor) -> torch.Tensor:
    """Compute what `blocks.Conv` computes."""
    kernel, stride = list(self.kernel_size), list(self.stride)
    attributes = {"kernel_shape": kernel, "strides": stride, "auto_pad": "SAME_UPPER"}
    inputs = [input, self.weight, *([] if self.bias is None else [self.bias])]
    shape = (len(input), self.out_channels, *_halved(input, stride[0]))
    return _operator("Conv", inputs, attributes, shape)


def _hourglass(self: Hourglass, x: torch.Tensor) -> torch.Tensor:
    """Compute what an `Hourglass` without a pooling of its own computes."""
    assert not self.pooled
    pool = {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}
    low = self.down(_operator("MaxPool", [x], pool, (*x.shape[:2], *_halved(x, 2))))
    low, skip = self.up(self.inner(low)), self.skip(x)
    size = torch.onnx.ops.symbolic("Shape", [x], dtype=torch.int64, shape=(4,))
    nearest = {
        "mode": "nearest",
        "nearest_mode": "floor",
        "coordinate_transformation_mode": "asymmetric",
    }
    return skip + _operator("Resize", [low, None, None, size], nearest, tuple(x.shape))


def _halved(x: torch.Tensor, stride: int) -> tuple[int, int]:
    height, width = x.shape[-2:]
    return -(-height // stride), -(-width // stride)


def _operator(
    name: str,
    inputs: Sequence[torch.Tensor | None],
    attributes: dict[str, Any],
    shape: tuple[int, ...],
) -> torch.Tensor:
    return torch.onnx.ops.symbolic(name, inputs, attributes, dtype=torch.float32, shape=shape)


def _free(value: Any, axes: dict[int, str]) -> None:
    """Name axes of an input or output whose length is not fixed."""
    for axis, name in axes.items():
        value.type.tensor_type.shape.dim[axis].dim_param = name
