"""The prediction for one hand in a depth image, and measures of it that need no labels.

    hand = predictions.hand(frame, found, "right")      # a `Hand`; found: a `finding.Found`
    hand.joints, hand.measures                          # (21, 3) mm, numbers by name

`network` is the one place that names the network. The synthetic hand is fitted to the measured
points, from the network's answer on, and replaces it where the distance that remains is small.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import torch

from handpose_lib import prepare
from handpose_lib.camera import depth_to_points, xyz_to_uvd
from handpose_lib.evaluation import label_free
from handpose_lib.frames import Crops, DepthFrame
from handpose_lib.hand_detection import hand_detector, trained
from handpose_lib.own_images.finding import Found
from handpose_lib.own_images.settings import EITHER
from handpose_lib.papers.method import Method
from handpose_lib.real_hands import fitting
from handpose_lib.real_hands import network as real_hands
from handpose_lib.results import pretrained
from handpose_lib.skeleton import Skeleton

TURNS = 7
"""Number of turned views of which the answer is the mean."""
TURNED = 20.0
"""Largest turn of a view in degrees, either way."""
LOOKS = 3
"""How often the network answers; each crop after the first is centred at the last answer."""
DECIDED = 1.5
"""Factor between the disagreements of the views of left and right from which a hand counts as the
one whose views agree better.
"""
IN_FRONT = 10.0
"""A joint by so many mm in front of the measured surface counts as impossible."""


@dataclass(frozen=True)
class Hand:
    """The prediction for one hand.

    side       'right' or 'left'
    decided    whether the side was stated, or one of them fits clearly better
    joints     (J, 3) mm in the camera frame: those of the fitted hand if the fit is accepted, else
               the mean over the turned views
    views      (K, J, 3) mm, the answers of the turned views
    doubt      (J,) mm, how much the views disagree about each joint
    measures   label-free measures by name: those of `measure`, and
               probability, scale              of what was found
               disagreement_mm                 mean of `doubt`
               disagreement_of_other_side_mm   the same for the side that was not taken, if both
                                               were tried
               remaining_mm                    of the fit, see `fitted`
    found      where the hand was found, and how sure the detector is
    says       sentences on what speaks against the prediction, from `answers`; none if nothing does
    """

    side: str
    decided: bool
    joints: torch.Tensor
    views: torch.Tensor
    doubt: torch.Tensor
    measures: Mapping[str, float]
    found: Found
    says: tuple[str, ...] = ()


@cache
def network() -> pretrained.Pretrained:
    """Return the network with its record, loaded once."""
    return real_hands.load()


@cache
def detector() -> hand_detector.Detector:
    """Return the hand detector, loaded once."""
    return trained.load("hand_detector")


def skeleton() -> Skeleton:
    """Return the skeleton of the network's joints."""
    return network().network.skeleton


def cube() -> float:
    """Return the side of the network's cube in mm."""
    return real_hands.CUBE


def hand(frame: DepthFrame, found: Found, side: str) -> Hand:
    """Return the prediction for the hand that was found.

    `side`: 'right', 'left', or 'either' to take the one whose views agree better.
    """
    sides = ("right", "left") if side == EITHER else (side,)
    views = [look(frame, found.centre, one) for one in sides]
    doubts = [disagreement(of_side).mean().item() for of_side in views]
    best = min(range(len(sides)), key=doubts.__getitem__)
    joints, remaining = fitted(views[best].mean(0), frame, sides[best])
    return Hand(
        side=sides[best],
        decided=len(sides) == 1 or max(doubts) >= DECIDED * doubts[best],
        joints=joints,
        views=views[best],
        doubt=disagreement(views[best]),
        measures={
            "probability": found.probability,
            "scale": found.scale,
            **measure(joints, frame, found.centre),
            "disagreement_mm": doubts[best],
            "remaining_mm": remaining,
        }
        | ({"disagreement_of_other_side_mm": max(doubts)} if len(sides) > 1 else {}),
        found=found,
    )


def look(frame: DepthFrame, centre: torch.Tensor, side: str) -> torch.Tensor:
    """Return the answers (K, J, 3) mm of the turned views of a hand at `centre` (3,) mm.

    `side`: 'right' or 'left'. The crop is first centred at `centre`, then at the joints found,
    unless they are more than a quarter of the cube away, and so perhaps on something else.
    """
    method = network().network
    one = replace(frame, hand=side, centre=centre)
    for _ in range(LOOKS - 1):
        joints, _ = label_free.predict(method, [one], cube(), "stored", 1)
        if (joints[0].mean(0) - centre).norm() > cube() / 4:
            break
        one = replace(one, centre=joints[0].mean(0))
    return ask(method, prepare.batch([one], cube(), "stored"))[:, 0]


@torch.inference_mode()
def ask(method: Method, crops: Crops, turns: int = TURNS) -> torch.Tensor:
    """Return the joints (K, B, J, 3) mm in `turns` views of each crop.

    The views are turned in the image plane by up to `TURNED` degrees either way.
    """
    angles = torch.linspace(-TURNED, TURNED, turns).deg2rad()
    turned = [replace(crops, rotation=crops.rotation + angle) for angle in angles]
    return torch.stack([method.decode(method(method.encode(view)), view) for view in turned])


def fitted(joints: torch.Tensor, frame: DepthFrame, side: str) -> tuple[torch.Tensor, float]:
    """Return the joints (J, 3) mm of the hand fitted at `joints`, and the distance in mm that
    remains between the measured points and its surface.

    The joints stay as they are if the fit is not accepted, see `fitting.Fit`.
    """
    one = replace(frame, hand=side, centre=joints.mean(0))
    found = fitting.fit(prepare.batch([one], cube(), "stored"), joints[None])
    kept = found.joints[0] if found.accepted.item() else joints
    return kept, found.distance_mm.item()


def disagreement(views: torch.Tensor) -> torch.Tensor:
    """Return the mean distance of K answers (K, J, 3) mm from their mean, for each joint (J,)."""
    return (views - views.mean(0)).norm(dim=-1).mean(0)


def measure(joints: torch.Tensor, frame: DepthFrame, centre: torch.Tensor) -> dict[str, float]:
    """Return label-free measures of the joints (J, 3) mm of a hand that was found at `centre`.

    on_hand, covered       shares, and
    median_to_surface_mm   as in `label_free.measures`
    in_front               share of joints more than `IN_FRONT` mm in front of the measured surface
    unmeasured             share of joints at pixels without a measurement, or outside the image
    at_border              1 if measured points of the cube touch the border of the image, else 0
    """
    seen = label_free.measures(joints[None], [frame], centre[None], cube(), skeleton())
    below = below_surface(joints, frame)
    return {
        "on_hand": seen["on_hand"].item(),
        "median_to_surface_mm": seen["to_surface"].median().item(),
        "covered": seen["covered"].item(),
        "in_front": (below < -IN_FRONT).double().mean().item(),
        "unmeasured": below.isnan().double().mean().item(),
        "at_border": float(_at_border(frame, centre)),
    }


def _at_border(frame: DepthFrame, centre: torch.Tensor) -> bool:
    points = depth_to_points(frame.depth[None], frame.camera)[0]
    inside = (frame.depth > 0) & ((points - centre).abs().amax(-1) <= cube() / 2)
    border = torch.ones_like(inside)
    border[1:-1, 1:-1] = False
    return bool((inside & border).any())


def below_surface(joints: torch.Tensor, frame: DepthFrame) -> torch.Tensor:
    """Return how far each joint (J, 3) mm lies behind the surface measured at its pixel, (J,) mm.

    NaN where nothing was measured, and outside the image.
    """
    u, v, z = xyz_to_uvd(joints, frame.camera).unbind(-1)
    column, row = u.round().long(), v.round().long()
    height, width = frame.depth.shape
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    seen = frame.depth[row.clamp(0, height - 1), column.clamp(0, width - 1)]
    return torch.where(inside & (seen > 0), z - seen, torch.nan)
