"""An ensemble of the epochs of one training: the mean of the joints that its networks predict.

V2V-PoseNet saves its network after each of ten epochs and averages the predictions of all ten at
test time. The decoded joints in mm are averaged, not the heat maps, so that every method can use
an ensemble.
Source: V2V-PoseNet (Moon et al. 2018), Section 8.3.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from handpose_lib import evaluation
from handpose_lib.errors import DataError
from handpose_lib.evaluation import prediction
from handpose_lib.io.storage import read_tensors
from handpose_lib.training import epoch_weights


def predict(
    method: Any,
    weights: Path | str | Sequence[Path | str],
    frames: prediction.Frames | prediction.Source,
    *,
    cube: float | None = None,
    centre: str = "mass",
    batch: int = 64,
    device: torch.device | str | None = None,
    progress: bool = False,
) -> torch.Tensor:
    """Return the joints (N, J, 3) mm, the mean over the predictions of several networks.

    `method` supplies the architecture; its own weights are restored afterwards. `weights`: the
    folder of a training that kept its epochs, or the files to load. The other arguments are those
    of `evaluation.predict`. The frames are read once per network: a `training.Stored` keeps them
    cut.
    Errors: `DataError` for a folder without epochs, files that are missing or of another network.
    """
    folder = isinstance(weights, str | Path)
    files = kept(weights) if folder else [Path(file) for file in weights]
    if not files:
        raise DataError("an ensemble of no networks: accepted is at least one file of weights")
    own = {name: value.clone() for name, value in method.state_dict().items()}
    total = torch.zeros((), dtype=torch.float64)
    try:
        for file in files:
            _load(method, file)
            found = evaluation.predict(
                method,
                frames,
                cube=cube,
                centre=centre,
                batch=batch,
                device=device,
                progress=progress,
            )
            total = total + found.double()
    finally:
        method.load_state_dict(own)
    return (total / len(files)).float()


def kept(out: Path | str) -> list[Path]:
    """Return the files with the weights of the epochs of the training in `out`, in their order.

    Errors: there are none.
    """
    first = epoch_weights(out, 1)
    found = sorted(first.parent.glob(f"*{first.suffix}"))
    if not found:
        raise DataError(
            f"{out}: no weights of epochs; accepted is the folder of a training whose recipe says"
            " keep_epochs"
        )
    return found


def _load(method: Any, file: Path) -> None:
    tensors = read_tensors(file)
    try:
        method.load_state_dict(tensors)
    except RuntimeError as error:
        raise DataError(
            f"{file}: weights of another network than this {method.name} ({method.variant})"
        ) from error
