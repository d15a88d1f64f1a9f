"""Sanity checks of a prediction file that need nothing but its numbers.

Each function takes joints in mm (or the numbers of a file) and returns a warning in one sentence,
or None. A warning is no proof of an error; it states what to check before a score is trusted.
"""

from collections.abc import Mapping, Sequence

import torch

from handpose_lib.evaluation import metrics

SAME_MM = 0.05
"""Coordinates that differ by at most this are equal: files round pixels to three decimals or six
digits, which is at most 0.03 mm.
"""
BATCHES = (8, 16, 32, 64, 128, 256)
"""Usual batch sizes: a program that drops the last, incomplete batch leaves out frames."""
REACH = 3
"""Shifts of the order that are tried, in frames, in both directions."""
BLOCK = 250
"""The order is checked in blocks of so many frames: a hand then moves more than methods err."""
MARGIN = 0.9
"""A shift counts if it reduces the error at least to this share."""
TOO_FAR_MM = 100.0
"""Half the length of a hand: a larger mean error comes from another space, camera, unit or order of
joints.
"""


def frame_count(
    found: int, wanted: int, parts: Mapping[str, int] | None = None, by_name: bool = False
) -> str | None:
    """Return a warning if the number of frames is wrong, with a possible reason.

    `parts`: name → frames of parts of the test set. `by_name`: the frames are matched by their
    image names.
    """
    if found == wanted:
        return None
    compared = "those" if by_name else f"the first {min(found, wanted):,} of both"
    text = f"{found:,} frames, but the labels have {wanted:,}: only {compared} are compared"
    batches = [size for size in BATCHES if found == wanted // size * size]
    if batches:
        return f"{text}. It is as if an unfinished last batch of {batches[0]} had been left out"
    for name, count in (parts or {}).items():
        if found == count:
            return f"{text}. The part {name!r} has as many"
    return text


def space(expected: str, found: str) -> str | None:
    """Return a warning if a file holds other coordinates than usual for its data set."""
    if expected == found:
        return None
    return (
        f"the values look like {' '.join(found)} where {' '.join(expected)} is the custom, and are"
        " read so:"
        f" {'most lie outside the image' if found == 'xyz' else 'all lie inside the image'}"
    )


def same_frames(predicted: torch.Tensor, other: torch.Tensor, name: str) -> str | None:
    """Return a warning if frames equal those of another file; both (N, J, 3) mm."""
    same = ((predicted - other).abs() <= SAME_MM).flatten(1).all(1)
    return (
        f"{int(same.sum()):,} of {len(same):,} frames are those of {name}" if same.any() else None
    )


def equal_to_labels(
    predicted: torch.Tensor, labels: torch.Tensor, names: Sequence[str]
) -> str | None:
    """Return a warning if joints equal the label in every frame: they may have been input.

    `predicted`, `labels`: (N, J, 3) mm; `names`: of the joints.
    """
    given = ((predicted - labels).abs() <= SAME_MM).all(-1).all(0)
    if not given.any():
        return None
    joints = ", ".join(name for name, equal in zip(names, given.tolist()) if equal)
    return (
        f"equal to the label in every frame: {'every joint' if given.all() else joints}. Was it"
        " given to the method?"
    )


def order(
    predicted: torch.Tensor, labels: torch.Tensor, reach: int = REACH, block: int = BLOCK
) -> str | None:
    """Return a warning if frames fit their neighbours' labels better than their own.

    `predicted`, `labels`: (N, J, 3) mm. Blocks of `block` frames are checked, because one lost
    frame shifts only the frames after it.
    """
    count = len(labels)
    if count < 4 * reach:
        return None
    errors = {shift: _shifted(predicted, labels, shift) for shift in range(-reach, reach + 1)}
    starts = range(0, max(count - block // 2, 1), block)
    best = []
    for start in starts:
        stop = count if start == starts[-1] else start + block
        means = {shift: error[start:stop].nanmean().item() for shift, error in errors.items()}
        shift = min(means, key=lambda s: (means[s], abs(s)))
        best.append(shift if means[shift] < MARGIN * means[0] else 0)
    off = [(start, shift) for start, shift in zip(starts, best) if shift]
    if not off:
        return None
    most = max({shift for _, shift in off}, key=lambda s: sum(shift == s for _, shift in off))
    gain = (errors[0] - errors[most]).nan_to_num()
    # The shift helps most from this frame on.
    first = int(gain.flip(0).cumsum(0).flip(0).argmax())
    own, moved = (error[first:].nanmean().item() for error in (errors[0], errors[most]))
    where = "from the first frame on" if first <= block // 2 else f"from about frame {first:,} on"
    return (
        f"the order of the frames is off by {abs(most)} {where}: line i fits the label of frame i"
        f" {'-+'[most < 0]} {abs(most)} better ({moved:.2f} mm against {own:.2f} mm)"
    )


def image_names(found: Sequence[str] | None, wanted: Sequence[str] | None) -> str | None:
    """Return a warning if image names differ from the test list.

    They are compared from their ends, as some lists omit folders.
    """
    for number, (one, other) in enumerate(zip(found or (), wanted or ())):
        if not (f"/{one}".endswith(f"/{other}") or f"/{other}".endswith(f"/{one}")):
            return (
                f"line {number + 1} is named {one!r} where the test list has {other!r}: another"
                " order, or another set"
            )
    return None


def without_depth(predicted: torch.Tensor) -> str | None:
    """Return a warning if joints (N, J, 3) mm are not in front of the camera.

    Often these are zeros in frames without a prediction.
    """
    count = int((predicted[..., 2] <= 0).any(1).sum())
    return (
        f"{count:,} frames with a joint at depth 0 or behind the camera: were they predicted?"
        if count
        else None
    )


def too_far(error_mm: float, limit: float = TOO_FAR_MM) -> str | None:
    """Return a warning if the mean error is larger than any method's."""
    if error_mm <= limit:
        return None
    return (
        f"a mean error of {error_mm:.0f} mm: is it this data set's camera, unit and order of"
        " joints?"
    )


def _shifted(predicted: torch.Tensor, labels: torch.Tensor, shift: int) -> torch.Tensor:
    """Return (N,), the error of each prediction relative to the label `shift` frames earlier.

    It is NaN where there is no such label.
    """
    count = len(labels)
    errors = torch.full((count,), torch.nan, dtype=torch.float64)
    rows = slice(max(shift, 0), count + min(shift, 0))
    errors[rows] = metrics.frame_errors(
        predicted[rows], labels[rows.start - shift : rows.stop - shift], "mean"
    )
    return errors
