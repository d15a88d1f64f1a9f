"""The stages of the network for real depth images, as its script makes them."""

import pytest
import torch

from handpose_lib.errors import HandPoseError
from handpose_lib.real_hands import network
from pipeline.experiments import train_real_hands

SMALL = {"channels": 16, "size": 32, "clip_targets": False}


@pytest.fixture
def train(tmp_path, monkeypatch):
    monkeypatch.setenv("HANDPOSE_BUILD", str(tmp_path / "build"))
    monkeypatch.setattr(network, "CONFIG", SMALL)
    monkeypatch.setattr(network, "test_real", lambda _: None)

    def run(*options):
        out = tmp_path / "record"
        arguments = ("--test-frames", "4", "--workers", "0", "--device", "cpu")
        assert train_real_hands.main([*arguments, "--out", str(out), *options]) == 0
        found = network.load(out)
        return found.record, found.network.state_dict()

    return run


def test_a_stage_continues_from_the_one_before_and_judging_changes_nothing(train):
    first, before = train("--frames", "32", "--seed", "0")
    both, after = train("--more", "--frames", "64", "--seed", "1", "--rate", "1e-3")
    stages = both["training"]["stages"]
    assert [stage["continues"] for stage in stages] == [False, True]
    assert [stage["seed"] for stage in stages] == [0, 1]
    assert stages[0] == first["training"]["stages"][0]
    assert both["training"]["frames"] == 96
    assert set(stages[1]["held_out"]) == set(network.WORLDS)
    assert [entry["step"] for entry in both["curve"]] == [1, 3]
    assert any(not torch.equal(value, before[name]) for name, value in after.items())
    with pytest.raises(HandPoseError, match="seed 1: a stage with this seed"):
        train("--more", "--frames", "32", "--seed", "1")

    judged, same = train("--judge")
    assert all(torch.equal(value, after[name]) for name, value in same.items())
    again, _ = train("--judge")
    assert again["held_out"] == judged["held_out"]
    for name, error in judged["training"]["stages"][-1]["held_out"].items():
        # The weights are kept in 16 bits.
        assert error == pytest.approx(stages[-1]["held_out"][name], abs=0.5)
