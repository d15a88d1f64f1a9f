"""Devices: find one by name, describe it for records, measure its memory."""

import platform
import sys

import torch

from handpose_lib.errors import HandPoseError


def find_device(name: torch.device | str) -> torch.device:
    """Return the device of that name; 'auto' is CUDA if there is one, otherwise the CPU.

    Errors: `HandPoseError` for unknown names and devices that the machine does not have.
    """
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
            f"device {name!r} does not exist: this machine has {torch.cuda.device_count()} CUDA"
            " devices"
        )
    return device


def device_facts(device: torch.device | str) -> dict[str, str | int]:
    """Return the `type` and `name` of a device and the number of `threads`, for a record."""
    device = torch.device(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {"type": device.type, "name": name, "threads": torch.get_num_threads()}


def peak_memory(device: torch.device | str) -> int | None:
    """Return the largest number of bytes in use so far: of the CUDA device, or of this process.

    None if the system does not report it (Windows).
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
    """Return the processor's name: Linux keeps it in a file, others in `platform`."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [
                line.partition(":")[2].strip() for line in lines if line.startswith("model name")
            ]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
