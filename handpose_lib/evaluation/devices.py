"""The device that computes: found by name, described for records."""

import platform
import sys

import torch

from handpose_lib.errors import HandPoseError


def find_device(name) -> torch.device:
    """'auto' (CUDA where there is one, else the CPU), or what torch calls a device."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise HandPoseError(
            f"unknown device {name!r}: accepted are auto, cpu, cuda, cuda:0, ..."
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise HandPoseError(
            f"device {name!r} is not there: this machine has {torch.cuda.device_count()} CUDA"
            " devices"
        )
    return device


def device_facts(device) -> dict:
    """What a record says about where it ran: `type`, `name`, `threads`."""
    device = torch.device(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {"type": device.type, "name": name, "threads": torch.get_num_threads()}


def peak_memory(device) -> int | None:
    """The most bytes in use so far: of the device for CUDA, of this process otherwise.

    None where the system does not tell (Windows).
    """
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ModuleNotFoundError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _processor() -> str:
    """The processor's name: Linux keeps it in a file, others in `platform`."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [
                line.partition(":")[2].strip() for line in lines if line.startswith("model name")
            ]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
