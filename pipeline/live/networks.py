"""Exports trained networks to ONNX, with the decoding of their output, for the live page.

    found = networks.open("jgr_p2o")
    networks.exported(found)          # bytes of an ONNX model
    networks.described(found)         # what the page has to know about it

A model has two inputs and two or three outputs, for one crop:

    input     (1, 1, size, size) or (1, 1, size, size, size), float32, as the method's `encode`
              returns it
    view      (1, 9), float64: fx, fy, u0, v0 in pixels, the cube's centre and side in mm, and -1
              for a left hand, otherwise +1
    joints    (1, 21, 3), float64: mm in the camera frame, as the method's `decode` returns them
    inside    (1, K, h, w), float32: one map per joint or, of Residual Attention, per module
    offsets   (1, 21, 4, h, w), float32, of JGR-P2O and DenseReg: from each pixel to each joint, in
              half sides of the cube along the axes of the view, and the weight of the pixel
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from handpose_lib import papers
from handpose_lib.errors import one_of
from handpose_lib.frames import Crops
from handpose_lib.papers.method import Method
from handpose_lib.real_hands import network as real_hands
from handpose_lib.results import pretrained
from pipeline.live import NETWORKS, REAL


@dataclass(frozen=True)
class Live:
    """A network of the page: `name`, the trained network, and the side in mm of its test's cube."""

    name: str
    trained: pretrained.Pretrained
    cube: float

    @property
    def method(self) -> Method:
        return self.trained.network


def open(name: str) -> Live:
    """Return a network of the page. Errors: `HandPoseError` for an unknown name."""
    one_of("network of the live page", name, NETWORKS)
    if name == REAL:
        return Live(name, real_hands.load(), real_hands.CUBE)
    trained = pretrained.load(name)
    return Live(name, trained, float(trained.record["protocol"]["cube"]))


def exported(live: Live) -> bytes:
    """Return the ONNX model of a network, as the module describes it."""
    crops = flat_crop(live.cube)
    example = (live.method.encode(crops).contiguous(), view_of(crops))
    outputs = ["joints", "inside", *(["offsets"] if INSIDE[live.method.name].offsets else [])]
    model = onnx(Answer(live.method).eval(), example, ["input", "view"], outputs)
    return model.SerializeToString()


def onnx(
    module: nn.Module,
    example: tuple[torch.Tensor, ...],
    inputs: list[str],
    outputs: list[str],
    optimize: bool = True,
    **options: Any,
) -> Any:
    """Return the ONNX model of a module, traced with an example. `options`: of the exporter."""
    # The exporter prints its progress and warns of packages that no network here needs.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            input_names=inputs,
            output_names=outputs,
            verbose=False,
            optimize=optimize,
            **options,
        )
    assert program is not None, "with `dynamo` the exporter returns a program"
    return program.model_proto


class Answer(nn.Module):
    """From a method's input and a view to joints in mm and what the page shows of the inside."""

    def __init__(self, method: Method):
        super().__init__()
        self.method, self.inside = method, INSIDE[method.name]

    def forward(self, x: torch.Tensor, view: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = self.method(x)
        answer = self.method.decode(y, seen(view)), self.inside.maps(y[-1], self.method)
        if self.inside.offsets is None:
            return answer
        return *answer, self.inside.offsets(y[-1], self.method, view[:, 7].to(x.dtype))


def seen(view: torch.Tensor) -> Crops:
    """Return crops whose view is that of the input `view` (B, 9), without any pixels."""
    still, one = torch.zeros_like(view[:, 7]), torch.ones_like(view[:, 7])
    return Crops(
        depth=view.new_zeros(len(view), 1, 1),
        origin=view.new_zeros(len(view), 2),
        camera=view[:, :4],
        centre=view[:, 4:7],
        cube=view[:, 7],
        rotation=still,
        aspect=one,
        mirror=view[:, 8],
        joints=None,
        ids=[""] * len(view),
    )


def view_of(crops: Crops) -> torch.Tensor:
    """Return the input `view` (B, 9) of crops without rotation."""
    return torch.cat(
        [crops.camera, crops.centre, crops.cube[:, None], crops.mirror[:, None]], 1
    ).double()


def flat_crop(cube: float, depth: float = 0.0) -> Crops:
    """Return a crop of a plane that is parallel to the image.

    Its `depth` is relative to the centre in half sides of the cube: -1 is the front face. A depth
    beyond 1 stands for pixels without a measurement.
    """
    side, z = 64, 600.0
    value = z + depth * cube / 2 if depth <= 1 else 0.0
    return Crops(
        depth=torch.full((1, side, side), value),
        origin=torch.full((1, 2), -side / 2),
        camera=torch.tensor([[z * side / (2 * cube)] * 2 + [0.0, 0.0]]),
        centre=torch.tensor([[0.0, 0.0, z]]),
        cube=torch.tensor([cube]),
        rotation=torch.zeros(1),
        aspect=torch.ones(1),
        mirror=torch.ones(1),
        joints=None,
        ids=[""],
    )


# --- what the page shows of the inside ----------------------------------------


@dataclass(frozen=True)
class Inside:
    """Maps of a network: `maps` takes the last stack's output and the method, `text` explains them.

    per        'joint' or 'module', what a map belongs to
    offsets    takes the last stack's output, the method and the sides (B,) of the cubes in mm, and
               returns the output `offsets` of the model; None if the network predicts none
    arrows     explains the offsets
    """

    text: str
    maps: Callable[[Any, Any], torch.Tensor]
    per: str = "joint"
    offsets: Callable[[Any, Any, torch.Tensor], torch.Tensor] | None = None
    arrows: str = ""


def _masks(output: Any, method: Any) -> torch.Tensor:
    """Return the mean mask of each module, all at the size of the largest: (B, 3, h, w)."""
    means = [mask.mean(1, keepdim=True) for mask in output.masks]
    size = means[0].shape[-1]
    return torch.cat(
        [
            mean.repeat_interleave(size // mean.shape[-1], 2).repeat_interleave(
                size // mean.shape[-1], 3
            )
            for mean in means
        ],
        1,
    )


def _voting(output: Any, _method: Any, _cube: torch.Tensor) -> torch.Tensor:
    """Return the offsets of JGR-P2O, whose u and v are in sides of the crop."""
    sides = output.offsets.new_tensor([2.0, 2.0, 1.0])[:, None, None, None]
    return torch.cat((output.offsets * sides, output.weights[:, None]), 1).transpose(1, 2)


def _directed(output: Any, method: Any, cube: torch.Tensor) -> torch.Tensor:
    """Return the offsets of DenseReg: θ (1 − S) V, in mm before they are scaled."""
    length = method.config.theta * (1 - output.heat3d)
    offsets = length[:, :, None] * output.vectors / (cube / 2)[:, None, None, None, None]
    return torch.cat((offsets, output.heat3d[:, :, None]), 2)


INSIDE = {
    "jgr_p2o": Inside(
        "the weight of each pixel's vote for the joint",
        lambda y, _: y.weights,
        offsets=_voting,
        arrows="the offset to the joint that each pixel predicts, the stronger the larger the"
        " weight of its vote",
    ),
    "densereg": Inside(
        "the 2D heat map of the joint",
        lambda y, _: y.heat2d,
        offsets=_directed,
        arrows="the offset to the joint that each pixel predicts by its direction V and its 3D"
        " heat map S, the stronger the larger S",
    ),
    "residual_attention": Inside("the mean mask of an attention module", _masks, "module"),
    "structure_aware_hourglass": Inside(
        "the 3D heat map of the joint, its maximum along the depth", lambda y, _: y.joints.amax(2)
    ),
    "v2v_posenet": Inside(
        "the likelihood of the joint, summed along the depth",
        lambda y, _: y.likelihood.flatten(2).softmax(-1).reshape(y.likelihood.shape).sum(2),
    ),
}
"""What the page shows of each method."""


# --- description --------------------------------------------------------------


def described(live: Live) -> dict[str, Any]:
    """Return what the page has to know about a network, as JSON values.

    name, title     its name in the code, and in tables
    parameters      their number
    cube            side in mm of the cube in its test
    errorMm         mean joint error in mm on the held-out synthetic person; of the network for real
                    images, in its rendered world
    kind, size      of the input: 'image' or 'voxels', and pixels or voxels along a side
    background, middle, front
                    of an image: values of a pixel without measurement, at the depth of the centre,
                    and at the front face of the cube
    inside          `per`, a map for each 'joint' or 'module'; `text`, what it is; `offsets`, what
                    the arrows are, empty if the network predicts none
    """
    method = live.method
    empty, middle, front = (
        method.encode(flat_crop(live.cube, depth)) for depth in (2.0, 0.0, -1.0)
    )
    values = (x[0].mean().item() for x in (empty, middle, front))
    record = live.trained.record
    voxels = empty.ndim == 5
    return {
        "name": live.name,
        "title": "Real hands" if live.name == REAL else papers.title(live.name),
        "parameters": sum(parameter.numel() for parameter in method.parameters()),
        "cube": live.cube,
        "errorMm": (record["held_out"]["all"]["mean_mm"] if live.name == REAL else record.error_mm),
        "kind": "voxels" if voxels else "image",
        "size": empty.shape[-1],
        **({} if voxels else dict(zip(("background", "middle", "front"), values, strict=True))),
        "inside": {
            "per": INSIDE[method.name].per,
            "text": INSIDE[method.name].text,
            "offsets": INSIDE[method.name].arrows,
        },
    }
