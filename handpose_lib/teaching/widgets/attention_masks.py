"""The masks of attention modules: which channel looks where."""

import functools

import torch

from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.teaching import figures
from handpose_lib.teaching.widgets.live import Live, choice, count

SHOWN = 6
"""Masks side by side."""


def liveliest(mask):
    """(C,) the channels of `mask` (C, h, w), the one that varies most over the image first."""
    return mask.flatten(1).std(1).argsort(descending=True, stable=True)


def picture(x, masks, module=0, first=0, row=0):
    """Six masks of one module over frame `row`, from the `first` of the liveliest on; bright pixels
    are strengthened.

    `x` (B, 1, S, S): the network's images; `masks`: of each module (B, C, h, w) in [0, 1]. Errors:
    no such module, or a `first` beyond its channels.
    """
    mask = masks[one_of("module", module, range(len(masks)))][row]
    if not 0 <= first < len(mask):
        raise HandPoseError(
            f"first channel {first}: accepted are 0 to {len(mask) - 1}, the channels of module"
            f" {module}"
        )
    chosen = liveliest(mask)[first : first + SHOWN]
    figure = figures.heat_maps(
        mask[chosen], x[row], [f"channel {c}" for c in chosen.tolist()], columns=SHOWN
    )
    figure.set_label(
        f"{len(chosen)} masks of attention module {module + 1} over the crop of a hand"
    )
    return figure


def live(x, masks, row=0):
    """Frame, module and channels of `picture`."""
    most = max(mask.shape[1] for mask in masks)
    controls = {
        "row": count("frame", row, 0, len(x) - 1),
        "module": choice("module", [(str(k + 1), k) for k in range(len(masks))]),
        "first": count("from channel, by liveliness", 0, 0, most - 1),
    }
    return Live(functools.partial(picture, torch.as_tensor(x), masks), controls)
