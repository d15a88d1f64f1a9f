"""Fixtures for all tests: the project's folder and a fixed random seed."""

import os
from pathlib import Path

import pytest

# Threads that wait for others sleep. OpenMP reads it when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
import torch


@pytest.fixture(scope="session")
def project() -> Path:
    return Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def seeded():
    """No test may depend on which tests ran before it."""
    torch.manual_seed(0)
