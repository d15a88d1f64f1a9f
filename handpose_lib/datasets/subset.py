"""Some frames of a data set, as a data set."""

from collections.abc import Iterable
from typing import Any

import torch

from handpose_lib.frames import DepthFrame


class Subset:
    """Some frames of a data set: `Subset(train, train.subjects != 7, "without subject 7")`.

    `rows` is a mask (N,) or indices; `note` states in the protocol which frames were chosen.
    """

    def __init__(self, dataset: Any, rows: torch.Tensor, note: str):
        self.whole = dataset
        self._rows = rows.nonzero()[:, 0] if rows.dtype == torch.bool else rows
        self.name, self.camera, self.skeleton = dataset.name, dataset.camera, dataset.skeleton
        self.synthetic, self.fingerprint = dataset.synthetic, dataset.fingerprint
        self.protocol = {**dataset.protocol, "subset": note}

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> DepthFrame:
        return self.whole[int(self._rows[index])]

    def frames(self, indices: Iterable[int]) -> list[DepthFrame]:
        """Return the frames of these numbers, as `prepare.batch` takes them."""
        return self.whole.frames([int(self._rows[i]) for i in indices])

    def joints(self) -> torch.Tensor:
        """Return the joints (N, J, 3), mm in the camera frame, without reading an image."""
        return self.whole.joints()[self._rows]
