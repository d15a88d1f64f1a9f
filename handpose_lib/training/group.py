"""Several processes that train one network: each computes its share of every batch.

    fit(method, source, recipe, out, devices=2)             # two processes of this computer
    fit(method, source, recipe, out, devices=4, nodes=2)    # the same line on each of two computers

On a GPU each process has a device of its own, on the CPU a share of the cores. With several
computers, `MASTER_ADDR` and `MASTER_PORT` name the first of them, `NODE_RANK` counts them from 0,
and all must share the folder `out`.

All processes hold the same weights and make the same update from the gradients of all. On the CPU
these are added in the order of the parts of the batch, so that the number of processes does not
change a bit of the result. One process writes.
"""

import datetime
import logging
import os
import pickle
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.multiprocessing.spawn import ProcessException, spawn

from handpose_lib.errors import HandPoseError

LONGEST_WAIT = datetime.timedelta(hours=4)
"""How long a process waits for the others, for example while the first one validates."""
VARIABLES = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")


@dataclass(frozen=True)
class Group:
    """The processes of one training, of which this is number `rank`; alone by default."""

    rank: int = 0
    size: int = 1

    def gather(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values (n, …) of all processes in the order of their ranks, (size n, …)."""
        if self.size == 1:
            return values
        values = values.contiguous()
        found = [torch.empty_like(values) for _ in range(self.size)]
        torch.distributed.all_gather(found, values)
        return torch.cat(found)

    def add(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum of the values (parts, …) over the parts of all processes, (…).

        On the CPU they are added in the order of the parts, whichever process has which; GPUs add
        in an order of their own, with less to send.
        """
        if values.device.type != "cpu":
            total = values.sum(0)
            if self.size > 1:
                torch.distributed.all_reduce(total)
            return total
        first, *others = self.gather(values)
        total = first.clone()
        for other in others:
            total.add_(other)
        return total

    def decided(self, answer: bool) -> bool:
        """Return the answer of the first process."""
        if self.size == 1:
            return answer
        sent = torch.tensor(answer)
        torch.distributed.broadcast(sent, 0)
        return bool(sent)


def node() -> int:
    """Return the number of this computer among those that train together, from 0."""
    return int(os.environ.get("NODE_RANK") or 0)


def run(
    work: Callable[..., Any], *arguments: Any, device: torch.device, devices: int, nodes: int
) -> None:
    """Call `work(group, device, *arguments)` in so many processes of each computer, and wait.

    `work` and its arguments are copied into the processes; what it returns is lost.
    Errors: `HandPoseError` if there are not so many GPUs, if several computers do not know each
    other, or if a process ends with an error; the others are then stopped.
    """
    if device.type != "cpu" and devices > torch.cuda.device_count():
        raise HandPoseError(
            f"devices {devices}: this machine has {torch.cuda.device_count()} CUDA devices:"
            " accepted are as many or fewer"
        )
    address = _address(nodes)
    threads = max(1, torch.get_num_threads() // devices)
    spawning = torch.multiprocessing.get_context("spawn")
    errors = spawning.SimpleQueue()
    # As bytes: tensors that are passed on as they are would be shared with this process.
    copied = pickle.dumps((work, arguments))
    try:
        spawn(
            _member,
            (copied, device.type, devices, nodes, threads, address, errors),
            nprocs=devices,
        )
    except ProcessException as error:
        if not errors.empty():
            raise HandPoseError(errors.get()) from None
        raise HandPoseError(
            "a process of the training ended early:"
            f" {str(error).strip().splitlines()[-1]}; the training continues from its last"
            " checkpoint when it is started again"
        ) from error


def _address(nodes: int) -> dict[str, str]:
    """Return where the processes meet, as environment variables."""
    if nodes == 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    missing = [name for name in VARIABLES if not os.environ.get(name)]
    if missing:
        raise HandPoseError(
            f"nodes {nodes}: {', '.join(missing)} must be set in the environment. MASTER_ADDR and"
            " MASTER_PORT name the first computer and a free port of it, NODE_RANK is the number of"
            f" this one, from 0 to {nodes - 1}"
        )
    return {name: os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT")}


def _member(
    local: int,
    copied: bytes,
    kind: str,
    devices: int,
    nodes: int,
    threads: int,
    address: dict[str, str],
    errors: Any,
) -> None:
    """Join the group as process `local` of this computer, and work."""
    group = Group(node() * devices + local, devices * nodes)
    os.environ.update(
        address,
        RANK=str(group.rank),
        LOCAL_RANK=str(local),
        WORLD_SIZE=str(group.size),
        GROUP_RANK=str(node()),
    )
    # It comes from the keyboard, or from the system when the first process has ended. By default it
    # would wait until the other processes have sent something.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(threads)
    from lightning.fabric import Fabric
    from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
    from lightning.fabric.strategies.ddp import DDPStrategy

    silence()
    try:
        work, arguments = pickle.loads(copied)
        strategy = DDPStrategy(
            process_group_backend="gloo" if kind == "cpu" else f"cpu:gloo,{kind}:nccl",
            timeout=LONGEST_WAIT,
        )
        Fabric(
            accelerator=kind,
            devices=devices,
            num_nodes=nodes,
            strategy=strategy,
            plugins=[TorchElasticEnvironment()],
        ).launch()
        work(group, torch.device(kind) if kind == "cpu" else torch.device(kind, local), *arguments)
        torch.distributed.destroy_process_group()
    except HandPoseError as error:
        errors.put(str(error))
        raise


def silence() -> None:
    """Let Lightning Fabric log errors only."""
    for name in ("lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
