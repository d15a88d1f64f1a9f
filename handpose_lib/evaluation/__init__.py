"""Evaluation: predictions, metrics, baselines, statistics, and measures without labels."""

from handpose_lib.evaluation.devices import device_facts, find_device, peak_memory
from handpose_lib.evaluation.prediction import (
    NEIGHBOUR_SIZE,
    baselines,
    decoded,
    predict,
    score,
    sweep,
    throughput,
)

__all__ = [
    "NEIGHBOUR_SIZE",
    "baselines",
    "decoded",
    "device_facts",
    "find_device",
    "peak_memory",
    "predict",
    "score",
    "sweep",
    "throughput",
]
