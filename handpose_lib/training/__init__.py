"""Training that resumes bit-exactly: the loop, sources of frames, schedules, random numbers."""

from handpose_lib.training.loop import History, epoch_weights, fit
from handpose_lib.training.randomness import generator, mix
from handpose_lib.training.schedule import learning_rate
from handpose_lib.training.sources import MEMORY, OnTheFly, Stored

__all__ = [
    "MEMORY",
    "History",
    "OnTheFly",
    "Stored",
    "epoch_weights",
    "fit",
    "generator",
    "learning_rate",
    "mix",
]
