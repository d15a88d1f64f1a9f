"""What is wrong with a prediction file? Questions that can be answered from numbers alone.

Each function takes joints in mm (or numbers as they stand in a file) and returns a sentence, or
None where nothing smells. A smell is no proof: it says what to look at before a figure is believed.
"""

import torch

from handpose_lib.evaluation import metrics

SAME_MM = 0.05
"""Coordinates this near are the same: files round pixels to three decimals or six digits, at most
0.03 mm.
"""
BATCHES = (8, 16, 32, 64, 128, 256)
REACH = 3
"""Frames by which an order is tried to be off, to either side."""
BLOCK = 250
"""Frames of the stretches in which the order is looked at: long enough for a hand to move more than
methods err.
"""
MARGIN = 0.9
"""A shifted order must bring the error at least down to this share of the unshifted one to count.
"""
TOO_FAR_MM = 100.0
"""A hand's length is twice as much: a mean error above it comes from another space, camera, unit or
order of joints.
"""


def frame_count(found: int, wanted: int, parts=None, by_name=False) -> str | None:
    """A number of frames that does not fit, and what may explain it.

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
    """Another kind of numbers than this data set's files hold by custom."""
    if expected == found:
        return None
    return (
        f"the values look like {' '.join(found)} where {' '.join(expected)} is the custom, and are"
        " read so:"
        f" {'most lie outside the image' if found == 'xyz' else 'all lie inside the image'}"
    )


def same_frames(predicted, other, name: str) -> str | None:
    """Frames that are those of another file. `predicted`, `other`: (N, J, 3) mm."""
    same = ((predicted - other).abs() <= SAME_MM).flatten(1).all(1)
    return (
        f"{int(same.sum()):,} of {len(same):,} frames are those of {name}" if same.any() else None
    )


def equal_to_labels(predicted, labels, names) -> str | None:
    """Joints that are the label's in every frame: given to the method, not predicted. Both
    (N, J, 3) mm.
    """
    given = ((predicted - labels).abs() <= SAME_MM).all(-1).all(0)
    if not given.any():
        return None
    joints = ", ".join(names[i] for i in given.nonzero().flatten().tolist())
    return (
        f"equal to the label in every frame: {'every joint' if given.all() else joints}. Was it"
        " given to the method?"
    )


def order(predicted, labels, reach: int = REACH, block: int = BLOCK) -> str | None:
    """Frames that fit their neighbours' labels better than their own. Both (N, J, 3) mm.

    Looked at in stretches of `block` frames, since one lost frame shifts only what comes after it.
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
    first = int(
        gain.flip(0).cumsum(0).flip(0).argmax()
    )  # the frame from which on the shift gains most
    own, moved = (error[first:].nanmean().item() for error in (errors[0], errors[most]))
    where = "from the first frame on" if first <= block // 2 else f"from about frame {first:,} on"
    return (
        f"the order of the frames is off by {abs(most)} {where}: line i fits the label of frame i"
        f" {'-+'[most < 0]} {abs(most)} better ({moved:.2f} mm against {own:.2f} mm)"
    )


def image_names(found, wanted) -> str | None:
    """Image names that are not those of the test list; compared from their ends, as some lists omit
    folders.
    """
    for number, (one, other) in enumerate(zip(found or (), wanted or ())):
        if not (f"/{one}".endswith(f"/{other}") or f"/{other}".endswith(f"/{one}")):
            return (
                f"line {number + 1} is named {one!r} where the test list has {other!r}: another"
                " order, or another set"
            )
    return None


def without_depth(predicted) -> str | None:
    """Frames with a joint that is not in front of the camera: often zeros where nothing was
    predicted. (N, J, 3) mm.
    """
    count = int((predicted[..., 2] <= 0).any(1).sum())
    return (
        f"{count:,} frames with a joint at depth 0 or behind the camera: were they predicted?"
        if count
        else None
    )


def too_far(error_mm: float, limit: float = TOO_FAR_MM) -> str | None:
    """A mean error that no prediction of the right thing has."""
    if error_mm <= limit:
        return None
    return (
        f"a mean error of {error_mm:.0f} mm: is it this data set's camera, unit and order of"
        " joints?"
    )


def _shifted(predicted, labels, shift: int):
    """(N,) error of each frame's prediction against the label `shift` frames before it; NaN where
    there is none.
    """
    count = len(labels)
    errors = torch.full((count,), torch.nan, dtype=torch.float64)
    rows = slice(max(shift, 0), count + min(shift, 0))
    errors[rows] = metrics.frame_errors(
        predicted[rows], labels[rows.start - shift : rows.stop - shift], "mean"
    )
    return errors
