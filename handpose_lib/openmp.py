"""How OpenMP's threads wait: it decides the speed beside other programs.

torch shares its work between threads. By default a thread that waits for the others spins: it keeps
its core busy. If another program computes on this core, the others wait in turn for the thread, and
rendering can be 70 times slower, filling of voxels 22 times. With the variable OMP_WAIT_POLICY at
PASSIVE, waiting threads sleep, and neither slows down. OpenMP reads the variable when torch is
loaded: the pipeline sets it for every process that it starts.
"""

import logging
import os

import torch

_warned = False


def warn_if_slow(job: str) -> None:
    """Log one line, once in a process, if the cores are busy and waiting threads spin.

    job    what is about to start, such as 'the training'
    """
    global _warned
    if _warned or not spinning():
        return
    load, available = busy(), cores()
    if load > available:
        _warned = True
        logging.getLogger(__name__).warning(
            f"{job} may be many times slower than usual: other programs use the cores (load"
            f" {load:.1f} on {available}) and OpenMP's waiting threads spin. Set"
            " OMP_WAIT_POLICY=PASSIVE before Python starts"
        )


def spinning() -> bool:
    """Return whether threads that wait for others keep their cores busy in this process."""
    passive = os.environ.get("OMP_WAIT_POLICY", "").strip().lower() == "passive"
    return not passive and torch.get_num_threads() > 1


def busy() -> float:
    """Return the mean number of processes that computed in the last minute; 0 if not known."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
