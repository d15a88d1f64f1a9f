"""The trainings of the comparison of worlds: made once, tested everywhere."""

import pytest

from handpose_lib import paths
from handpose_lib.real_hands import network, worlds
from pipeline.experiments import compare_worlds


@pytest.fixture
def trial(tmp_path, monkeypatch):
    monkeypatch.setenv("HANDPOSE_BUILD", str(tmp_path / "build"))
    monkeypatch.setattr(network, "test_real", lambda _: None)

    def run(*options):
        arguments = ("--frames", "32", "--test-frames", "4", "--workers", "0")
        out = tmp_path / "out"
        assert compare_worlds.main([*arguments, "--out", str(out), *options]) == 0
        return worlds.load(out)

    return run


def test_each_call_makes_what_is_missing(trial, capsys):
    first = trial("--first", "1")
    assert list(first) == [worlds.FIELD]
    both = trial("--first", "1")
    assert list(both) == [worlds.FIELD, worlds.NARROW]
    assert both[worlds.FIELD]["created"] == first[worlds.FIELD]["created"]
    found = both[worlds.NARROW]["held_out"]
    assert set(found) == {"frames", "persons", *network.WORLDS, "own", "real"}
    assert found["own"] != found["all"]
    assert f"{worlds.NARROW}: " in capsys.readouterr().out
    assert paths.build().name == "build"
