"""The answer to a depth image: the joints of every hand, and what speaks against them.

    answer = answers.answer(frame, settings)
    answer.hands[0].joints            # (21, 3) mm in the camera frame
    answer.hands[0].says              # sentences on this hand
    answers.trust()                   # what is known about such answers, from the records

`predictions` computes them, `reliability` says which of their measures are unusual, and this module
says it in words.
"""

from dataclasses import dataclass, replace
from functools import cache

import torch

from handpose_lib.frames import DepthFrame
from handpose_lib.own_images import finding, predictions, reliability
from handpose_lib.own_images.predictions import IN_FRONT, Hand
from handpose_lib.own_images.settings import Settings
from handpose_lib.real_hands import fitting


@dataclass(frozen=True)
class Answer:
    """The answer for one image: its frame in mm, its hands, and remarks on the whole image."""

    frame: DepthFrame
    hands: tuple[Hand, ...]
    remarks: tuple[str, ...]


@torch.inference_mode()
def answer(frame: DepthFrame, settings: Settings, unit_mm: float | None = None) -> Answer:
    """Return the hands of a frame with all that is known about them.

    `unit_mm`: the unit that was taken, for a remark on a wrong one; None if it is certain.
    Errors: those of `finding.hands`.
    """
    found = finding.hands(frame, settings, predictions.detector())
    hands = tuple(
        replace(hand, says=sentences(hand, unit_mm))
        for hand in (predictions.hand(frame, one, settings.hand) for one in found)
    )
    remarks = []
    if len(hands) < settings.hands:
        remarks.append(f"{len(hands)} of {settings.hands} hands found.")
    if settings.find == "detector" and (apart := finding.nearest_other(frame, found)):
        remarks.append(
            f"The nearest object of a hand's size is {apart:.0f} mm away from what the detector"
            " found; with find = nearest it is taken instead."
        )
    return Answer(frame, hands, tuple(remarks))


# --- sentences ------------------------------------------------------------------


def sentences(hand: Hand, unit_mm: float | None) -> tuple[str, ...]:
    """Return a sentence for every measure that is unusual, and one on a side that was guessed."""
    says = [_sentence(name, hand, unit_mm) for name in reliability.unusual(hand.measures)]
    return (*says, *([] if hand.decided else [_on_side(hand)]))


def _sentence(name: str, hand: Hand, unit_mm: float | None) -> str:
    """Return what an unusual measure says about a hand."""
    value, joints = hand.measures[name], len(predictions.skeleton())
    good = f"of 100 good answers on rendered images, {100 * (1 - reliability.TAIL):.0f} have"
    if name == "probability":
        return (
            f"The detector takes this for a hand with a probability of {value:.0%} only ({good} at"
            f" least {reliability.limits()[name].low:.0%}): there may be no hand here."
        )
    if name == "scale":
        return _on_unit(value, unit_mm)
    if name == "at_border":
        return "What is around the hand touches the border of the image: a part may be cut off."
    if name == "on_hand":
        return f"{round((1 - value) * joints)} of {joints} joints lie beside the hand in the image."
    if name == "covered":
        return (
            f"The skeleton covers {value:.0%} of the measured points; {good} at least"
            f" {reliability.limits()[name].low:.0%}."
        )
    if name == "median_to_surface_mm":
        return (
            f"The joints are {value:.0f} mm from the measured surface; {good} at most"
            f" {reliability.limits()[name].high:.0f} mm."
        )
    if name == "in_front":
        return (
            f"{round(value * joints)} joints lie more than {IN_FRONT:.0f} mm in front of the"
            " measured surface, where no joint can be."
        )
    if name == "disagreement_mm":
        return (
            f"Turned views of the image disagree by {value:.0f} mm; {good} at most"
            f" {reliability.limits()[name].high:.0f} mm."
        )
    assert name == "remaining_mm"
    known = predictions.network().record["held_out"]["fit"]
    return (
        f"The synthetic hand cannot explain the measured points: {value:.1f} mm remain. On rendered"
        f" frames with more than {fitting.ACCEPTED_MM} mm, {known['others']['off']:.0%} of the"
        f" answers are off by more than {reliability.OFF_MM:.0f} mm; with less,"
        f" {known['accepted']['off']:.0%}."
    )


def _on_unit(scale: float, unit_mm: float | None) -> str:
    sentence = (
        f"The hand looks {max(scale, 1 / scale):.1f} times too {'large' if scale > 1 else 'small'}:"
        " the unit or the focal length may be wrong"
    )
    if unit_mm is not None and (other := finding.likely_unit(unit_mm, scale)):
        sentence += f"; a unit of {other:g} mm instead of {unit_mm:g} mm would explain it"
    return sentence + "."


def _on_side(hand: Hand) -> str:
    taken, other = (
        hand.measures[name] for name in ("disagreement_mm", "disagreement_of_other_side_mm")
    )
    return (
        f"Left and right fit about equally well (the views disagree by {taken:.0f} and"
        f" {other:.0f} mm): {hand.side} is a guess; state the hand."
    )


def summary(hand: Hand) -> str:
    """Return one sentence on a hand: nothing speaks against the answer, or how much does."""
    if not hand.says:
        return "No measure speaks against this answer; that is no proof that it is right."
    return "One remark on this answer:" if len(hand.says) == 1 else "What to consider:"


@cache
def trust() -> str:
    """Return what is known about the answers to real images, from the records."""
    known = predictions.network().record["held_out"]
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
    rate = reliability.rates()
    said += (
        f" In {rate.images} rendered images with a hand, from the detector to the fit,"
        f" {rate.quiet:.0%} of the answers have no remark, and {rate.quiet_off:.0%} of these are"
        f" off by more than {reliability.OFF_MM:.0f} mm; of the answers with a remark,"
        f" {rate.others_off:.0%} are. In {rate.empty} images without a hand, the detector finds"
        f" none in {rate.refused:.0%}, and {rate.false} get an answer without a remark."
    )
    return (
        f"{said} Its error among other things in real images has not been measured. Do not use the"
        " joints as measurements."
    )
