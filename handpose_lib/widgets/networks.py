"""The trained networks that are at hand: those of recorded runs whose weights were kept."""

from dataclasses import dataclass

import torch

from handpose_lib import papers, prepare, records
from handpose_lib.errors import HandPoseError, one_of


@dataclass(frozen=True)
class Trained:
    """A network, the cube (mm) in which it sees hands, and the key of the run that made it."""

    key: str
    method: torch.nn.Module
    cube: float

    @property
    def skeleton(self):
        """Of the joints that it knows."""
        return self.method.skeleton

    @torch.no_grad()
    def joints(self, depth, camera, centre, hands=None):
        """(B, J, 3) mm that it says of depth images (B, H, W) in cubes around `centre` (B, 3) mm."""
        crops = prepare.crop(depth, camera, centre, self.cube, hands=hands)
        return self.method.decode(self.method(self.method.encode(crops)), crops)


def recorded(method=None, joints="msra21", root=None):
    """Keys of the runs on synthetic frames that kept their weights, the smallest error first; possibly none.

    `method`: of one method only; `joints`: the skeleton they know; `root`: as of `records.load_all`.
    """
    return [run.key for run in _runs(root) if method in (None, run["method"]) and run["protocol"]["joints"] == joints]


def load(key, root=None):
    """The `Trained` network of a recorded run. Errors: a key that `recorded` does not list."""
    runs = {run.key: run for run in _runs(root)}
    if not runs:
        raise HandPoseError(f"no network {key!r}: the records hold no run on synthetic frames with its weights; `make runs` makes them")
    run = runs[one_of("recorded network", key, runs)]
    method = papers.create(run["method"], run["protocol"]["joints"], run["variant"], **run["training"]["config"])
    records.load_weights(run, method)
    return Trained(run.key, method.eval(), run["protocol"]["cube"])


def _runs(root):
    runs = [run for run in records.find(root, synthetic=True) if run["files"]["weights"]]
    return sorted(runs, key=lambda run: run.error_mm)
