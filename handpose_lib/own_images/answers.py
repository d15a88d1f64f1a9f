"""The answer to a depth image: joints of every hand, label-free measures, and what they say.

    answer = answers.answer(frame, settings)
    answer.hands[0].joints            # (21, 3) mm in the camera frame
    answer.hands[0].says              # sentences on this hand
    answers.trust()                   # what is known about the network on real images

`network` is the one place that names the network. The synthetic hand is fitted to the measured
points, from the network's answer on, and replaces it where the distance that remains is small.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch

from handpose_lib import paths, prepare
from handpose_lib.camera import depth_to_points, xyz_to_uvd
from handpose_lib.evaluation import label_free
from handpose_lib.frames import Crops, DepthFrame
from handpose_lib.hand_detection import hand_detector, trained
from handpose_lib.own_images import finding
from handpose_lib.own_images.finding import Found
from handpose_lib.own_images.settings import EITHER, Settings
from handpose_lib.papers.method import Method
from handpose_lib.real_hands import fitting
from handpose_lib.real_hands import network as real_hands
from handpose_lib.results import pretrained, records
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
TAIL = 0.05
"""A measure counts as unusual outside all but this share of what true joints have."""


@dataclass(frozen=True)
class Hand:
    """The answer for one hand.

    side       'right' or 'left'
    decided    whether the side was stated, or one of them fits clearly better
    joints     (J, 3) mm in the camera frame: those of the fitted hand if the fit is accepted, else
               the mean over the turned views
    views      (K, J, 3) mm, the answers of the turned views
    doubt      (J,) mm, how much the views disagree about each joint
    measures   label-free measures by name, see `measure`
    found      where the hand was found, and how sure the detector is
    says       sentences on what speaks against the answer; none if nothing does
    """

    side: str
    decided: bool
    joints: torch.Tensor
    views: torch.Tensor
    doubt: torch.Tensor
    measures: Mapping[str, float]
    found: Found
    says: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """The answer for one image: its frame in mm, its hands, and remarks on the whole image."""

    frame: DepthFrame
    hands: tuple[Hand, ...]
    remarks: tuple[str, ...]


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


@torch.inference_mode()
def answer(frame: DepthFrame, settings: Settings, unit_mm: float | None = None) -> Answer:
    """Return the hands of a frame with all that is known about them.

    `unit_mm`: the unit that was taken, for a remark on a wrong one; None if it is certain.
    Errors: those of `finding.hands`.
    """
    found = finding.hands(frame, settings, detector())
    hands = tuple(_hand(frame, one, settings.hand, unit_mm) for one in found)
    remarks = []
    if len(hands) < settings.hands:
        remarks.append(f"{len(hands)} of {settings.hands} hands found.")
    if settings.find == "detector" and (apart := finding.nearest_other(frame, found)):
        remarks.append(
            f"The nearest object of a hand's size is {apart:.0f} mm away from what the detector"
            " found; with find = nearest it is taken instead."
        )
    return Answer(frame, hands, tuple(remarks))


def _hand(frame: DepthFrame, found: Found, side: str, unit_mm: float | None) -> Hand:
    """Return the answer for one hand, for the side that fits if both are to be tried."""
    sides = ("right", "left") if side == EITHER else (side,)
    views = [look(frame, found.centre, one) for one in sides]
    doubts = [disagreement(of_side).mean().item() for of_side in views]
    best = min(range(len(sides)), key=doubts.__getitem__)
    decided = len(sides) == 1 or max(doubts) >= DECIDED * doubts[best]
    joints, remaining = fitted(views[best].mean(0), frame, sides[best])
    doubt = disagreement(views[best])
    measures = measure(joints, frame, found.centre) | {
        "disagreement_mm": doubt.mean().item(),
        "remaining_mm": remaining,
    }
    says = tuple(
        sentence
        for sentence in (
            _on_detection(found),
            _on_unit(found, unit_mm),
            _on_border(frame, found.centre),
            *_on_measures(measures),
            None if decided else _on_side(sides[best], doubts),
        )
        if sentence
    )
    return Hand(sides[best], decided, joints, views[best], doubt, measures, found, says)


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


# --- measures -------------------------------------------------------------------


def measure(joints: torch.Tensor, frame: DepthFrame, centre: torch.Tensor) -> dict[str, float]:
    """Return the label-free measures of one hand, (J, 3) mm.

    on_hand, covered       shares, and
    median_to_surface_mm   as in `label_free.measures`
    in_front               share of joints more than `IN_FRONT` mm in front of the measured surface
    unmeasured             share of joints at pixels without a measurement, or outside the image
    """
    seen = label_free.measures(joints[None], [frame], centre[None], cube(), skeleton())
    below = below_surface(joints, frame)
    return {
        "on_hand": seen["on_hand"].item(),
        "median_to_surface_mm": seen["to_surface"].median().item(),
        "covered": seen["covered"].item(),
        "in_front": (below < -IN_FRONT).double().mean().item(),
        "unmeasured": below.isnan().double().mean().item(),
    }


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


@cache
def usual() -> dict[str, tuple[float, float]]:
    """Return the range of each measure that true joints have, from the record of the transfer.

    They are those of the widest rendered frames; `TAIL` of the values lie outside, on the side on
    which bad answers lie.
    """
    true = _transfer()["references"]["true"]["wide"]
    found = {}
    for name, worse_above in (
        ("on_hand", False),
        ("covered", False),
        ("median_to_surface_mm", True),
    ):
        values = _numbers(true[name])
        low = 0.0 if worse_above else values.quantile(TAIL).item()
        high = values.quantile(1 - TAIL).item() if worse_above else 1.0
        found[name] = (low, high)
    return found


# --- sentences ------------------------------------------------------------------


def _on_detection(found: Found) -> str | None:
    if found.probability > 0.5:
        return None
    return (
        f"The detector takes this for a hand with a probability of {found.probability:.0%} only:"
        " there may be no hand here."
    )


def _on_unit(found: Found, unit_mm: float | None) -> str | None:
    factor = max(found.scale, 1 / found.scale)
    if found.probability <= 0.5 or factor < finding.MISFIT:
        return None
    sentence = (
        f"The hand looks {factor:.1f} times too {'large' if found.scale > 1 else 'small'}: the unit"
        " or the focal length may be wrong"
    )
    if unit_mm is not None and (other := finding.likely_unit(unit_mm, found.scale)):
        sentence += f"; a unit of {other:g} mm instead of {unit_mm:g} mm would explain it"
    return sentence + "."


def _on_border(frame: DepthFrame, centre: torch.Tensor) -> str | None:
    """Return a remark if measured points of the hand's cube touch the border of the image."""
    points = depth_to_points(frame.depth[None], frame.camera)[0]
    inside = (frame.depth > 0) & ((points - centre).abs().amax(-1) <= cube() / 2)
    border = torch.ones_like(inside)
    border[1:-1, 1:-1] = False
    if not (inside & border).any():
        return None
    return "What is around the hand touches the border of the image: a part may be cut off."


def _on_measures(measures: Mapping[str, float]) -> list[str]:
    """Return a sentence for every measure that true joints hardly ever have."""
    joints, says = len(skeleton()), []
    if measures["on_hand"] < usual()["on_hand"][0]:
        beside = round((1 - measures["on_hand"]) * joints)
        says.append(f"{beside} of {joints} joints lie beside the hand in the image.")
    if measures["covered"] < usual()["covered"][0]:
        says.append(
            f"The skeleton covers {measures['covered']:.0%} of the measured points; true joints of"
            f" rendered hands cover at least {usual()['covered'][0]:.0%} in 95 of 100 frames."
        )
    if measures["median_to_surface_mm"] > usual()["median_to_surface_mm"][1]:
        says.append(
            f"The joints are {measures['median_to_surface_mm']:.0f} mm from the measured surface;"
            " true joints are nearer to it."
        )
    if (front := round(measures["in_front"] * joints)) >= 2:
        says.append(
            f"{front} joints lie more than {IN_FRONT:.0f} mm in front of the measured surface,"
            " where no joint can be."
        )
    known = network().record["held_out"]
    if measures["remaining_mm"] > fitting.ACCEPTED_MM:
        says.append(
            f"The synthetic hand cannot explain the measured points: {measures['remaining_mm']:.1f}"
            f" mm remain. On rendered frames with more than {fitting.ACCEPTED_MM} mm,"
            f" {known['fit']['others']['off']:.0%} of the answers are off by more than"
            f" {real_hands.OFF_MM:.0f} mm; with less,"
            f" {known['fit']['accepted']['off']:.0%}."
        )
    if measures["disagreement_mm"] > (error := known["all"]["mean_mm"]):
        says.append(
            f"Turned views of the image disagree by {measures['disagreement_mm']:.0f} mm, more than"
            f" the network errs on rendered frames ({error:.0f} mm)."
        )
    return says


def _on_side(side: str, doubts: Sequence[float]) -> str:
    return (
        f"Left and right fit about equally well (the views disagree by {min(doubts):.0f} and"
        f" {max(doubts):.0f} mm): {side} is a guess; state the hand."
    )


def summary(hand: Hand) -> str:
    """Return one sentence on a hand: nothing speaks against the answer, or how much does."""
    if not hand.says:
        return "No measure speaks against this answer; that is no proof that it is right."
    return "One remark on this answer:" if len(hand.says) == 1 else "What to consider:"


@cache
def trust() -> str:
    """Return what is known about the network on real images, from its records."""
    known = network().record["held_out"]
    said = (
        "The network was trained on rendered hands alone. It errs by"
        f" {known['all']['mean_mm']:.1f} mm on rendered frames of persons that were held out, among"
        " tables and other things."
    )
    if real := known["real"]:
        said += (
            f" On {real['frames']} real frames of one hand in front of nothing, labelled by"
            f" hand, it errs by {real['network']['mean_mm']:.1f} mm, and by"
            f" {real['with_fits']['mean_mm']:.1f} mm with the fitted hand."
        )
    return (
        f"{said} Its error among other things in real images has not been measured. Do not use the"
        " joints as measurements."
    )


def _transfer() -> Mapping[str, Any]:
    return records.load(paths.records() / "transfer", "transfer")


def _numbers(line: str) -> torch.Tensor:
    return torch.tensor([float(value) for value in line.split()], dtype=torch.float64)
