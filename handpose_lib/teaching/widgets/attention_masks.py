"""The masks of attention modules, by channel."""

import functools
from collections.abc import Sequence

import torch
from matplotlib.figure import Figure

from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.teaching import figures
from handpose_lib.teaching.widgets.live import Live, choice, count

SHOWN = 6
"""Number of masks side by side."""


def liveliest(mask: torch.Tensor) -> torch.Tensor:
    """Return (C,), the channels of `mask` (C, h, w), that with most variation first."""
    return mask.flatten(1).std(1).argsort(descending=True, stable=True)


def picture(
    x: torch.Tensor,
    masks: Sequence[torch.Tensor],
    module: int = 0,
    first: int = 0,
    row: int = 0,
) -> Figure:
    """Draw six masks of one module over frame `row`, from `first` on in the order of `liveliest`.

    Bright pixels are amplified. `x`: (B, 1, S, S), the network's images; `masks`: of each module
    (B, C, h, w) in [0, 1]. Errors: `HandPoseError` for an unknown module, and a `first` beyond its
    channels.
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


def live(x: torch.Tensor, masks: Sequence[torch.Tensor], row: int = 0) -> Live:
    """Return `picture` with controls for frame, module and channels."""
    most = max(mask.shape[1] for mask in masks)
    controls = {
        "row": count("frame", row, 0, len(x) - 1),
        "module": choice("module", [(str(k + 1), k) for k in range(len(masks))]),
        "first": count("first channel, by variation", 0, 0, most - 1),
    }
    return Live(functools.partial(picture, torch.as_tensor(x), masks), controls)
