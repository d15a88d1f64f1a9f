"""A batch in equal parts, each computed by one thread on one core, or by another process."""

import copy
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from handpose_lib.errors import HandPoseError
from handpose_lib.frames import Crops
from handpose_lib.training.group import Group

if TYPE_CHECKING:
    from lightning.fabric import Fabric


class Parts:
    """Computes the gradients of a batch in `recipe.parts` parts, shared out among the processes.

    The operations of a small network are too short to be worth sharing between cores; a core that
    computes all of them for its own samples never waits. Each batch norm sees one part, the
    gradients are averaged, and the running statistics of the first part are those of the network.
    Neither the order of the threads nor the number of processes changes a bit of the result.

    rows    those of the batch that this process computes
    Errors: `HandPoseError` for parts that do not divide the batch, for processes that do not divide
    the parts, and for several parts of a network that drops out at random.
    """

    def __init__(self, method: Any, recipe: Any, fabric: "Fabric", group: Group):
        check(method, recipe, group.size)
        self.count = recipe.parts // group.size
        self.size = recipe.batch // recipe.parts
        share = self.count * self.size
        self.rows = range(group.rank * share, (group.rank + 1) * share)
        self.first, self.all, self.group, self.fabric = (
            group.rank * self.count,
            recipe.parts,
            group,
            fabric,
        )
        self.methods = [method, *(_twin(method) for _ in range(self.count - 1))]
        self.models = [fabric.setup_module(each) for each in self.methods]
        self.pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> "Parts":
        if (
            self.all > 1
        ):  # one part also has one thread, however many parts the other processes have
            self.threads = torch.get_num_threads()
            self.pool = ThreadPoolExecutor(
                self.count, initializer=torch.set_num_threads, initargs=(1,)
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.pool is not None:
            self.pool.shutdown()
            torch.set_num_threads(self.threads)  # for later threads

    def backward(self, crops: Crops) -> dict[str, torch.Tensor]:
        """Compute the gradients of the mean loss over the parts, given the `rows` of the batch.

        Returns each term of the loss and, as the last entry, `error_mm` of the joints.
        """
        rows = [slice(start, start + self.size) for start in range(0, len(crops), self.size)]
        each = (self.pool.map if self.pool else map)(
            self._backward, self.models, self.methods, map(crops.index, rows)
        )
        measures = list(each)
        if self.all > 1:
            self._average_gradients()
        values = torch.stack([torch.stack(list(measure.values())) for measure in measures])
        columns = self.group.gather(values).unbind(1)
        return {
            name: column.contiguous().mean(0)
            for name, column in zip(measures[0], columns, strict=True)
        }

    def _average_gradients(self) -> None:
        """Give the parameters the mean gradient over all parts."""
        mine, *others = (
            [p.grad for p in method.parameters() if p.grad is not None] for method in self.methods
        )
        if self.group.size == 1:
            for theirs in others:
                for gradient, other in zip(mine, theirs, strict=True):
                    gradient.add_(other)
            for gradient in mine:
                gradient.div_(self.all)
        else:
            flat = [torch.cat([g.reshape(-1) for g in part]) for part in (mine, *others)]
            mean = self.group.add(torch.stack(flat)).div_(self.all)
            for gradient, part in zip(mine, mean.split([g.numel() for g in mine]), strict=True):
                gradient.copy_(part.view(gradient.shape))
        for twin in self.methods[1:]:
            twin.zero_grad()

    def _backward(self, model: nn.Module, method: Any, crops: Crops) -> dict[str, torch.Tensor]:
        y = model(method.encode(crops))
        losses = method.loss(y, crops)
        self.fabric.backward(losses["total"])
        with torch.no_grad():
            error = (method.decode(y, crops).float() - crops.joints).norm(dim=-1).mean()
        return {
            **{name: value.detach().float() for name, value in losses.items()},
            "error_mm": error,
        }

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the running statistics of the other parts, those of all processes.

        Batch renormalisation uses them in the training, so that a checkpoint needs them.
        """
        if self.all == 1:
            return {}
        found = {}
        for name in self._running(self.methods[0]):
            own = torch.stack([self._running(method)[name] for method in self.methods])
            for part, value in enumerate(self.group.gather(own)):
                if part:
                    found[f"part.{part}/{name}"] = value
        return found

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take over what `tensors` has returned in a training that is now resumed.

        The first part has its statistics from the weights of the network.
        """
        for part, method in enumerate(self.methods, self.first):
            for name, value in self._running(method).items():
                if part:
                    value.copy_(tensors[f"part.{part}/{name}"])

    @staticmethod
    def _running(method: nn.Module) -> dict[str, torch.Tensor]:
        """The buffers that belong to the weights: running means, variances and counters."""
        kept = method.state_dict()
        return {name: value for name, value in method.named_buffers() if name in kept}


def check(method: nn.Module, recipe: Any, processes: int) -> None:
    """Errors: `HandPoseError` if a batch cannot be divided as the recipe and the processes ask."""
    if recipe.batch % recipe.parts:
        raise HandPoseError(
            f"a batch of {recipe.batch} in {recipe.parts} parts: accepted is a number that divides"
            " it"
        )
    if recipe.parts % processes:
        raise HandPoseError(
            f"{recipe.parts} parts of a batch in {processes} processes: accepted is a recipe whose"
            " parts are a multiple of devices × nodes"
        )
    if recipe.parts > 1 and any(
        isinstance(m, torch.nn.modules.dropout._DropoutNd) and m.p > 0 for m in method.modules()
    ):
        name = getattr(method, "name", "the network")
        raise HandPoseError(f"{name} drops out at random: accepted is a recipe with parts=1")


def _twin(method: nn.Module) -> nn.Module:
    """Return a copy that shares the parameters; gradients and running statistics are its own."""
    twin = copy.deepcopy(method).train()
    for mine, theirs in zip(method.parameters(), twin.parameters(), strict=True):
        theirs.data = mine.data
    return twin
