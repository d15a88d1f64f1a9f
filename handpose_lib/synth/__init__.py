"""The synthetic hand: a posed surface, a ray caster, sensors, surroundings, and frames made of
them.

from handpose_lib import synth
rendered = synth.frames(range(64), seed=0, setup="msra", distribution=synth.WIDE)
"""

from handpose_lib.synth.generator import (
    DISTRIBUTIONS,
    MSRA_LIKE,
    SETUPS,
    WIDE,
    WIDE_VIEW,
    Distribution,
    Rendered,
    Setup,
    frames,
)
from handpose_lib.synth.hands import hand, poses
from handpose_lib.synth.scene import raycast, sensors, surroundings

__all__ = [
    "DISTRIBUTIONS",
    "MSRA_LIKE",
    "SETUPS",
    "WIDE",
    "WIDE_VIEW",
    "Distribution",
    "Rendered",
    "Setup",
    "frames",
    "hand",
    "poses",
    "raycast",
    "sensors",
    "surroundings",
]
