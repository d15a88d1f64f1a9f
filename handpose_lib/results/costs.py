"""What a training costs: operations and memory of the networks, hours and money on a GPU.

    work = costs.work("jgr_p2o")                    # the paper's network, one frame
    work.training_flops                             # operations of its forward and backward pass
    costs.hours(work, frames, sustained=15e12)      # hours of a device that sustains so many
    costs.measured(record)                          # operations per second of a recorded training

Operations are counted as multiplications and additions of matrix products and convolutions, without
computing them: PyTorch's counter follows tensors that have a shape and no content.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import FlopCounterMode

from handpose_lib import dataset_specs, papers, synth
from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.papers.method import Recipe
from handpose_lib.results import records

SKELETON = "msra21"
"""The joints that a network predicts here: 21. Fewer joints cost a little less."""
FRAMES = 2
"""Frames of which the mean is taken: a batch norm of maps of one pixel needs more than one."""


@dataclass(frozen=True)
class Work:
    """What one frame costs a network in training.

    parameters        trained numbers
    flops             floating-point operations of the forward pass
    training_flops    of the forward and the backward pass
    kept_bytes        what the forward pass keeps for the backward pass, in 32 bits
    state_bytes       weights, their gradients and Adam's two averages, whatever the batch
    """

    parameters: int
    flops: int
    training_flops: int
    kept_bytes: int
    state_bytes: int

    def memory(self, batch: int) -> int:
        """Return the bytes that a training with batches of this size needs at least."""
        return self.state_bytes + batch * self.kept_bytes


def work(paper: str, variant: str = "paper", **config: Any) -> Work:
    """Return the work of a paper's network; `config` changes its configuration.

    Errors: unknown names, and those of the configuration.
    """
    return _work(paper, variant, tuple(sorted((name, _fixed(v)) for name, v in config.items())))


@cache
def _work(paper: str, variant: str, config: tuple[tuple[str, Any], ...]) -> Work:
    method = papers.create(paper, SKELETON, variant, **dict(config))
    crops = synth.crops(range(FRAMES), cube=250.0)
    inputs = tree_map(_shape_only, method.encode(crops))
    method = method.to("meta").train()
    kept: dict[int, int] = {}
    own = {id(parameter) for parameter in method.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in own:
            kept[id(tensor)] = tensor.numel() * tensor.element_size()
            alive.append(tensor)  # so that no other tensor gets its number
        return tensor

    alive: list[torch.Tensor] = []
    with (
        FlopCounterMode(display=False) as forward,
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        found = method(inputs)
    backward = FlopCounterMode(display=False)
    with backward:
        total = sum(y.float().sum() for y in tree_leaves(found) if _trained(y))
        assert isinstance(total, torch.Tensor)  # a network has an output
        total.backward()
    parameters = sum(parameter.numel() for parameter in method.parameters())
    return Work(
        parameters,
        forward.get_total_flops() // FRAMES,
        (forward.get_total_flops() + backward.get_total_flops()) // FRAMES,
        sum(kept.values()) // FRAMES,
        4 * 4 * parameters,
    )


def frames(paper: str, dataset: str) -> int:
    """Return the frames of a whole training as the paper trains on this set: epochs times frames.

    With several copies of a set (ICVL's rotated ones), those that the recipe uses.
    Errors: a set on which the paper does not train.
    """
    one_of(f"data set of {paper}", dataset, papers.datasets(paper))
    recipe = papers.recipe(paper, dataset, "paper")
    return recipe.epochs * (recipe.epoch_frames or _training_frames(dataset, recipe))


def _training_frames(dataset: str, recipe: Recipe) -> int:
    counts: Mapping[str, int] = dataset_specs.get(dataset).counts
    if dataset == "msra":  # one of nine subjects is held out
        return counts["newer release"] * 8 // 9
    if dataset == "icvl":
        every = counts["labels.txt"]
        return every if recipe.rotated_copies else every // 15  # each image was turned 15 times
    return next(count for part, count in counts.items() if part.startswith("train"))


def hours(work: Work, frames: float, sustained: float) -> float:
    """Return the hours of a training on so many frames.

    `sustained`: operations per second that the device really does, in numbers of 32 bits.
    Errors: `HandPoseError` if they are not above 0.
    """
    if not sustained > 0:
        raise HandPoseError(f"sustained {sustained}: accepted are operations per second above 0")
    return work.training_flops * frames / sustained / 3600


def measured(record: records.Record) -> float:
    """Return the operations per second of a recorded training."""
    recipe = record["recipe"]
    done = work(record["method"], record["variant"], **recipe["network"])
    training = record["training"]
    return done.training_flops * training["frames"] / training["seconds"]


def _shape_only(value: Any) -> Any:
    return value.to("meta") if isinstance(value, torch.Tensor) else value


def _trained(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.requires_grad


def _fixed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
