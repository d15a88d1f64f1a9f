"""Exported networks, each exported once in a session, whichever process asks first."""

import os
from pathlib import Path

import pytest
from filelock import FileLock

from pipeline.live import networks


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Return a function from the name of a network to the path of its ONNX model."""
    base = tmp_path_factory.getbasetemp()
    # The processes of pytest-xdist have folders of their own in one that they share.
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "live networks"
    folder.mkdir(exist_ok=True)

    def path_of(name: str) -> Path:
        path = folder / f"{name}.onnx"
        with FileLock(f"{path}.lock"):
            if not path.exists():
                path.write_bytes(networks.exported(networks.open(name)))
        return path

    return path_of
