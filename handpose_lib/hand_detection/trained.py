"""The trained networks that locate hands, kept with the records of the book.

    detector = trained.load("hand_detector")
    centre = prepare.locate(depth, camera, detector=detector)       # (B, 3) mm
    refine = trained.load("centre_refiner")
    centre = prepare.locate(depth, camera, refine=refine)

Their records state how they were trained and their errors on held-out persons.
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
    """Return the trained network of a kind from a folder (None: the book's), in evaluation mode.

    Errors: `DataError` if it is missing, changed, damaged or of another architecture.
    """
    network, config = NETWORKS[one_of("network that finds hands", kind, NETWORKS)]
    source = paths.existing(paths.records() / kind) if folder is None else Path(folder)
    record = records.load(source, kind)
    records.verify(record)
    try:
        found = network(config(**record["config"]))
        found.load_state_dict(read_tensors(source / "weights.safetensors"))
    except (TypeError, RuntimeError) as error:
        raise DataError(
            f"{source} holds no {kind} of this architecture: {str(error).splitlines()[0]}"
        ) from error
    return found.eval()


def save(kind: str, network: nn.Module, out: Path | str | None = None, **fields: Any) -> Path:
    """Write weights in 16 bits and a record into a folder (None: the book's).

    `fields`: those of the kind in `records.KINDS`, except for configuration and number of
    parameters, which come from the network. Returns the folder.
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
