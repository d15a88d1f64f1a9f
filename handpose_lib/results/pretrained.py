"""Trained networks that come with the book: for each paper the best small one of the records.

    trained = pretrained.load("jgr_p2o")
    trained.joints(depth, camera, centre, hands)       # (B, 21, 3) mm
    trained.record.error_mm                            # error on the held-out person

    network, record = trained                          # the same step by step
    crops = prepare.crop(depth, camera, centre, record["protocol"]["cube"], hands=hands)
    network.decode(network(network.encode(crops)), crops)

All were trained on synthetic hands only. Their records state how.
"""

from pathlib import Path
from typing import NamedTuple

import torch

from handpose_lib import papers, paths, prepare
from handpose_lib.camera import Camera
from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.papers.method import Method
from handpose_lib.results import records


class Pretrained(NamedTuple):
    """A trained network, in evaluation mode on the CPU, and its record."""

    network: Method
    record: records.Record

    @torch.no_grad()
    def joints(
        self,
        depth: torch.Tensor,
        camera: Camera | torch.Tensor,
        centre: torch.Tensor,
        hands: list[str] | None = None,
    ) -> torch.Tensor:
        """Return the joints (B, 21, 3) mm of the hands in depth images (B, H, W) mm.

        The cubes are placed at `centre` (B, 3) mm; `camera` and `hands` as in `prepare.crop`.
        """
        crops = prepare.crop(depth, camera, centre, self.record["protocol"]["cube"], hands=hands)
        return self.network.decode(self.network(self.network.encode(crops)), crops)


def names() -> list[str]:
    """Return the papers of which a trained network is kept.

    Errors: `DataError` if the committed records are missing.
    """
    return sorted({record["method"] for record in _kept()})


def load(name: str, variant: str | None = None, root: Path | str | None = None) -> Pretrained:
    """Return the network with the smallest error on the held-out synthetic person.

    `variant`: one of the paper's, None for any; `root`: a folder of records, None for the committed
    ones. Networks of the profile 'paper' are excluded, because they need a GPU.
    Errors: `HandPoseError` for an unknown paper or variant, or if no run has kept its weights.
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
            f" {Path(root or paths.records()).resolve()}: there are {there}"
        )
    best = min(found, key=lambda record: record.error_mm)
    network = papers.create(
        name, best["protocol"]["joints"], best["variant"], **best["training"]["config"]
    )
    records.load_weights(best, network)
    return Pretrained(network.eval(), best)


def _kept(root: Path | str | None = None) -> list[records.Record]:
    """Return the runs on synthetic hands of 21 joints whose weights are kept and fit a CPU."""
    return [
        record
        for record in records.find(root, synthetic=True)
        if record["files"]["weights"]
        and record["profile"] != "paper"
        and record["protocol"]["joints"] == "msra21"
    ]
