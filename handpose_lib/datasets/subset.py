"""Some frames of a data set, as a data set."""

import torch


class Subset:
    """Some frames of a data set, which is a data set again:
    `Subset(train, train.subjects != 7, "without subject 7")`.

    `rows` a mask (N,) or indices; `note` says in the protocol what was chosen.
    """

    def __init__(self, dataset, rows: torch.Tensor, note: str):
        self.whole, self._rows = (
            dataset,
            rows.nonzero()[:, 0] if rows.dtype == torch.bool else rows,
        )
        self.name, self.camera, self.skeleton = dataset.name, dataset.camera, dataset.skeleton
        self.synthetic, self.fingerprint = dataset.synthetic, dataset.fingerprint
        self.protocol = {**dataset.protocol, "subset": note}

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, index):
        return self.whole[int(self._rows[index])]

    def frames(self, indices):
        return self.whole.frames([int(self._rows[i]) for i in indices])

    def joints(self):
        return self.whole.joints()[self._rows]
