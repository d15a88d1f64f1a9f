"""The two trained networks that find hands, as the book keeps them beside its records.

    detector = trained.load("hand_detector")
    centre = prepare.locate(depth, camera, detector=detector)       # (B, 3) mm
    refine = trained.load("centre_refiner")
    centre = prepare.locate(depth, camera, refine=refine)

Their records say how they were trained, and how well they do on persons whom no training has seen.
"""

from pathlib import Path
from typing import Any

from torch import nn

from handpose_lib import paths
from handpose_lib.errors import DataError, one_of
from handpose_lib.hand_detection import centre_refiner, hand_detector
from handpose_lib.io.storage import read_tensors
from handpose_lib.results import records

NETWORKS = {
    "hand_detector": (hand_detector.Detector, hand_detector.Config),
    "centre_refiner": (centre_refiner.CentreRefiner, centre_refiner.Config),
}
"""Kind of record → class of the network and of its configuration."""


def load(kind: str, folder: Path | str | None = None) -> Any:
    """The trained network of this kind in a folder (None: the book's), in evaluation mode.

    Errors: `DataError` where there is none, or one that is damaged or of another architecture.
    """
    network, config = NETWORKS[one_of("network that finds hands", kind, NETWORKS)]
    source = paths.records() / kind if folder is None else Path(folder)
    record = records.load(source, kind)
    try:
        found = network(config(**record["config"]))
        found.load_state_dict(read_tensors(source / "weights.safetensors"))
    except (TypeError, RuntimeError) as error:
        raise DataError(
            f"{source} holds no {kind} of this architecture: {str(error).splitlines()[0]}"
        ) from error
    return found.eval()


def save(kind: str, network: nn.Module, out: Path | str | None = None, **fields: Any) -> Path:
    """Write weights in 16 bits and a record of `fields` into a folder (None: the book's).

    `fields` are those of the kind in `records.KINDS`, without what the network itself tells.
    Returns the folder.
    """
    module = type(network).__module__
    record = records.create(
        kind,
        [module],
        config=vars(network.config),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        **fields,
    )
    return records.write(record, out, weights=network).folder
