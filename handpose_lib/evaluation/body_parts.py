"""How well is a body found? ITOP's measure, the mean average precision at 10 cm, by part of the
body.

    body_parts.precision(predicted, joints)      # {'head': 0.98, …, 'feet': 0.87, 'mean': 0.89}

Tables of ITOP have nine rows for 15 joints, right and left together, and a mean. That mean is over
the joints and not over the rows: a part that people have twice counts twice, as V2V-PoseNet's Table
5 shows (88.74 for the front view, where the nine rows alone would give 90.40).
"""

import torch

from handpose_lib import skeleton
from handpose_lib.errors import HandPoseError
from handpose_lib.evaluation import metrics

_PARTS = ("head", "neck", "shoulders", "elbows", "hands", "torso", "hips", "knees", "feet")
_ONE = {part: part.removesuffix("s") for part in _PARTS} | {"feet": "foot"}

JOINTS = skeleton.get("itop15").joints
PARTS = {
    part: tuple(number for number, joint in enumerate(JOINTS) if joint.split()[-1] == _ONE[part])
    for part in _PARTS
}
"""Row of the tables → its joints among ITOP's 15."""


def precision(
    predicted: torch.Tensor, joints: torch.Tensor, threshold: float = metrics.PRECISION_AT
) -> dict[str, float]:
    """Share of joints within `threshold` mm of their true place: of each part, and 'mean', over all
    joints.

    `predicted`, `joints` (N, 15, 3) mm in ITOP's order. Errors: other shapes, values that are not
    finite, a threshold below 0.
    """
    if not threshold >= 0:
        raise HandPoseError(f"threshold {threshold}: accepted are mm from 0")
    errors = metrics.joint_errors(predicted, joints)
    if errors.shape[1] != len(JOINTS):
        raise HandPoseError(
            f"{errors.shape[1]} joints per frame: parts of the body are known of ITOP's"
            f" {len(JOINTS)}"
        )
    within = (errors <= threshold).double().mean(0)
    shares = {part: within[list(numbers)].mean().item() for part, numbers in PARTS.items()}
    return {**shares, "mean": within.mean().item()}
