"""Trained networks that come with the book: for each paper the best small one that a committed run
has left.

    trained = pretrained.load("jgr_p2o")
    trained.joints(depth, camera, centre, hands)       # (B, 21, 3) mm
    trained.record.error_mm                            # on a person whom it has never seen

    network, record = trained                          # the same step by step
    crops = prepare.crop(depth, camera, centre, record["protocol"]["cube"], hands=hands)
    network.decode(network(network.encode(crops)), crops)

They have seen synthetic hands only. What made each of them stands in its record.
"""

from typing import NamedTuple

import torch

from handpose_lib import papers, paths, prepare
from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.papers.method import Method
from handpose_lib.results import records


class Pretrained(NamedTuple):
    network: Method  # in evaluation mode, on the CPU
    record: records.Record

    @torch.no_grad()
    def joints(self, depth, camera, centre, hands=None) -> torch.Tensor:
        """(B, 21, 3) mm of the hands in depth images (B, H, W) mm, in cubes around `centre` (B, 3)
        mm; `hands` as in `prepare.crop`.
        """
        crops = prepare.crop(depth, camera, centre, self.record["protocol"]["cube"], hands=hands)
        return self.network.decode(self.network(self.network.encode(crops)), crops)


def names() -> list[str]:
    """The papers of which a trained network is kept."""
    return sorted({record["method"] for record in _kept()})


def load(name: str, variant: str | None = None, root=None) -> Pretrained:
    """The network with the smallest error on the held-out synthetic person, and its record.

    `variant` one of the paper's, or None for any; `root` a folder of records, or None for the
    committed ones. Networks of the profile 'paper' are left out: they take a GPU.
    Errors: `HandPoseError` for an unknown paper or variant, and where no run has kept its weights.
    """
    one_of("method", name, papers.names())
    if variant is not None:
        one_of(f"variant of {name}", variant, papers.variants(name))
    found = [
        record
        for record in _kept(root)
        if record["method"] == name and variant in (None, record["variant"])
    ]
    if not found:
        there = (
            ", ".join(
                sorted({f"{record['method']} ({record['variant']})" for record in _kept(root)})
            )
            or "none at all"
        )
        raise HandPoseError(
            f"no weights of {name}{f' ({variant})' if variant else ''} are kept below"
            f" {root or paths.records().name}: there are {there}"
        )
    best = min(found, key=lambda record: record.error_mm)
    network = papers.create(
        name, best["protocol"]["joints"], best["variant"], **best["training"]["config"]
    )
    records.load_weights(best, network)
    return Pretrained(network.eval(), best)


def _kept(root=None):
    """Runs on synthetic hands of all 21 joints that kept weights which a CPU can use."""
    return [
        record
        for record in records.find(root, synthetic=True)
        if record["files"]["weights"]
        and record["profile"] != "paper"
        and record["protocol"]["joints"] == "msra21"
    ]
