"""An ensemble of the epochs of one training: the mean of what its networks say, joint by joint.

V2V-PoseNet saves its network after each epoch and at test time averages what the ten of them find
(Moon et al., CVPR 2018, Section 8.3). What is averaged are the decoded places in mm, not the
likelihoods: so any method can do it.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from handpose_lib import evaluation
from handpose_lib.errors import DataError
from handpose_lib.io.storage import read_tensors
from handpose_lib.training import epoch_weights


def predict(
    method, weights, frames, *, cube=None, centre="mass", batch=64, device=None, progress=False
) -> torch.Tensor:
    """Joints (N, J, 3) mm, the mean over the networks in `weights`; all else as in
    `evaluation.predict`.

    `weights` is the folder of a training that kept its epochs, or the files to take. The method
    gives its form, and has its own weights back in the end. The frames are gone through once per
    network: a `training.Stored` keeps them cut.
    Errors: `DataError` for a folder without epochs, files that are missing or of another network.
    """
    files = [Path(file) for file in weights] if _several(weights) else kept(weights)
    if not files:
        raise DataError("an ensemble of no networks: accepted is at least one file of weights")
    own = {name: value.clone() for name, value in method.state_dict().items()}
    total = 0.0
    try:
        for file in files:
            _load(method, file)
            total = (
                total
                + evaluation.predict(
                    method,
                    frames,
                    cube=cube,
                    centre=centre,
                    batch=batch,
                    device=device,
                    progress=progress,
                ).double()
            )
    finally:
        method.load_state_dict(own)
    return (total / len(files)).float()


def kept(out) -> list[Path]:
    """The weights of all epochs that the training in the folder `out` has kept, in their order.
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


def _several(weights) -> bool:
    return isinstance(weights, Sequence) and not isinstance(weights, str)


def _load(method, file):
    tensors = read_tensors(file)
    try:
        method.load_state_dict(tensors)
    except RuntimeError as error:
        raise DataError(
            f"{file}: weights of another network than this {method.name} ({method.variant})"
        ) from error
