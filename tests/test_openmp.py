"""OpenMP's waiting threads: a long job says once that they spin while others use the cores."""

import logging
import os
import re
import subprocess
import sys

import pytest
import torch

from handpose_lib import openmp


@pytest.fixture
def machine(monkeypatch):
    """Sets what the machine and the process look like; four threads on four cores unless said."""

    def set_up(policy=None, threads=4, load=5.0, cores=4):
        monkeypatch.setattr(openmp, "_warned", False)
        monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
        if policy is not None:
            monkeypatch.setenv("OMP_WAIT_POLICY", policy)
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        monkeypatch.setattr(openmp, "busy", lambda: load)
        monkeypatch.setattr(openmp, "cores", lambda: cores)

    return set_up


def said(caplog):
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        openmp.warn_if_slow("the training")
        openmp.warn_if_slow("rendering")
    return caplog.messages


@pytest.mark.parametrize("policy", [None, "", "ACTIVE"])
def test_spinning_threads_on_busy_cores_are_told_once_in_one_line(machine, caplog, policy):
    machine(policy)
    (line,) = said(caplog)
    assert line.startswith("the training ") and "\n" not in line
    assert "load 5.0 on 4" in line and "OMP_WAIT_POLICY=PASSIVE" in line


@pytest.mark.parametrize(
    "settings", [{"policy": "PASSIVE"}, {"policy": " passive"}, {"threads": 1}, {"load": 4.0}]
)
def test_nothing_is_said_where_nothing_is_slow(machine, caplog, settings):
    machine(**settings)
    assert said(caplog) == []


def test_the_load_and_the_cores_are_those_of_the_machine():
    assert openmp.busy() == pytest.approx(os.getloadavg()[0], abs=1)
    assert 1 <= openmp.cores() <= (os.cpu_count() or 1)


def test_tests_and_all_that_make_starts_have_sleeping_threads(project):
    assert os.environ["OMP_WAIT_POLICY"].upper() == "PASSIVE"  # set by conftest.py
    makefile = (project / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^export OMP_WAIT_POLICY \?= PASSIVE$", makefile, re.MULTILINE)


@pytest.mark.parametrize(
    ("first", "given", "expected"),
    [("", None, "PASSIVE"), ("", "ACTIVE", "ACTIVE"), ("import torch; ", None, "None")],
)
def test_the_library_lets_threads_sleep_where_torch_is_not_loaded_yet(
    project, first, given, expected
):
    """Whoever imports torch first has decided; so has whoever sets the variable."""
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    if given:
        environment["OMP_WAIT_POLICY"] = given
    code = f"{first}import handpose_lib, os; print(os.environ.get('OMP_WAIT_POLICY'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == expected
