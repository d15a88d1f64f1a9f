"""The synthetic hand: a posed surface, a ray caster, sensors, surroundings, and frames made of
them.

from handpose_lib import synth
rendered = synth.frames(range(64), seed=0, setup="msra", distribution=synth.WIDE)
"""

from handpose_lib.synth.distributions import (
    DISTRIBUTIONS,
    FIELD,
    MSRA_LIKE,
    WIDE,
    WIDE_VIEW,
    Distribution,
)
from handpose_lib.synth.generator import SETUPS, Rendered, Setup, crops, frames
from handpose_lib.synth.hands import hand, poses
from handpose_lib.synth.scene import raycast, sensors, surroundings

__all__ = [
    "DISTRIBUTIONS",
    "FIELD",
    "MSRA_LIKE",
    "SETUPS",
    "WIDE",
    "WIDE_VIEW",
    "Distribution",
    "Rendered",
    "Setup",
    "crops",
    "frames",
    "hand",
    "poses",
    "raycast",
    "sensors",
    "surroundings",
]
