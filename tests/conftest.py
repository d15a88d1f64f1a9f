"""Fixtures for all tests: the project's folder and a fixed random seed.

Tests marked `race` start four writers at the same time. They run once, or several times:

    .venv/bin/python -m pytest tests -m race --races 20
"""

import os
from pathlib import Path

import pytest

# Threads that wait for others sleep. OpenMP reads it when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
import torch


def pytest_addoption(parser):
    parser.addoption("--races", type=int, default=1, help="how often tests of races are repeated")


def pytest_configure(config):
    config.addinivalue_line("markers", "race: several writers at the same time, see --races")


def pytest_generate_tests(metafunc):
    if metafunc.definition.get_closest_marker("race"):
        metafunc.fixturenames.append("race")
        metafunc.parametrize("race", range(metafunc.config.getoption("races")))


@pytest.fixture(scope="session")
def project() -> Path:
    return Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def seeded():
    """No test may depend on which tests ran before it."""
    torch.manual_seed(0)
