"""A run that shares with others what does not depend on its network: cut crops and baselines.

    SharedRun("jgr_p2o", profile="ablation", variant="p2o", out=folder).complete()

Its record is that of a `runs.Run`: the cache of crops yields the same batches bit for bit, and the
baselines of the same training and test frames are the same.
"""

import hashlib
import json
from dataclasses import replace

from handpose_lib import evaluation, paths, training
from handpose_lib.datasets.splits import EMBEDDED
from handpose_lib.errors import DataError
from handpose_lib.io import provenance
from handpose_lib.io.storage import read_json, write_json
from handpose_lib.runs import Data, Run
from handpose_lib.training.crop_cache import Packed


class SharedRun(Run):
    """A `runs.Run` that reads its crops from the cache of its data folder, which it fills first.

    Only the embedded set is packed; other sets may be too large for the disk.
    """

    def open_data(self) -> Data:
        """Return the data, with packed crops as the source of the training frames."""
        data = super().open_data()
        if self.dataset != EMBEDDED or not isinstance(data.source, training.Stored):
            return data
        packed = Packed(data.train, self.recipe.cube_train, data.source.centre)
        return replace(data, source=packed)

    def baselines(self, data: Data) -> dict[str, float]:
        """Return the baselines, computed once for all runs on the same crops, in mm."""
        known = data.source.describe(), data.test.fingerprint, data.test.protocol
        how = self.recipe.cube_test, data.centre
        code = provenance.digest(provenance.closure(evaluation.__name__))
        told = json.dumps([known, how, code], sort_keys=True, default=str)
        name = hashlib.sha256(told.encode()).hexdigest()[:24]
        path = paths.build() / "queue" / "baselines" / f"{name}.json"
        try:
            return read_json(path)
        except DataError:
            found = super().baselines(data)
            write_json(path, found)
            return found
