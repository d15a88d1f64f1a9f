"""Compact coordinates: each is read back to half a step, which hardly changes any metric."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from handpose_lib.errors import DataError, HandPoseError
from handpose_lib.evaluation import metrics
from handpose_lib.io import coordinates
from handpose_lib.results import records

HALF = coordinates.STEP_MM / 2


def correlated(frames, joints=21, seed=0):
    """Hands whose joints move together, as those of predictions do."""
    random = torch.Generator().manual_seed(seed)
    poses = torch.randn(frames, 6, generator=random, dtype=torch.float64)
    basis = torch.randn(6, 3 * joints, generator=random, dtype=torch.float64) * 30
    noise = torch.randn(frames, 3 * joints, generator=random, dtype=torch.float64)
    return (poses @ basis + noise + 300).reshape(frames, joints, 3)


@settings(max_examples=40, deadline=None)
@given(
    frames=st.integers(0, 9),
    joints=st.integers(1, 4),
    largest=st.sampled_from([1e-9, 0.05, 3.0, 500.0, 1e6, 5e7]),
    seed=st.integers(0, 2**16),
)
def test_every_coordinate_is_known_to_half_a_step(tmp_path_factory, frames, joints, largest, seed):
    """Also for hands that no linear rule predicts, and for coordinates that no room holds."""
    values = np.random.default_rng(seed).uniform(-largest, largest, (2, frames, joints, 3))
    arrays = {"": torch.from_numpy(values[0]), "other": torch.from_numpy(values[1])}
    arrays["fewer"] = arrays[""][: frames // 2]
    path = tmp_path_factory.mktemp("joints") / "some.joints"
    read = coordinates.read_coordinates(coordinates.write_coordinates(path, arrays))
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        assert read[name].shape == array.shape and read[name].dtype == torch.float64
        torch.testing.assert_close(read[name], array, atol=HALF * (1 + 1e-6), rtol=0)


def test_reading_and_writing_again_changes_nothing(tmp_path):
    first = coordinates.write_coordinates(tmp_path / "a", {"": correlated(50)})
    once = coordinates.read_coordinates(first)
    again = coordinates.write_coordinates(tmp_path / "b", once)
    assert again.read_bytes() == first.read_bytes()


@pytest.mark.parametrize(
    "array, message",
    [
        (torch.full((2, 21, 3), float("nan")), "not finite"),
        (torch.full((2, 21, 3), float("inf")), "not finite"),
        (torch.full((2, 21, 3), coordinates.LIMIT_MM), "accepted are up to"),
        (torch.zeros(2, 63), r"accepted is \(frames, joints, 3\)"),
    ],
)
def test_what_cannot_be_stored_leaves_no_file(tmp_path, array, message):
    with pytest.raises(HandPoseError, match=message):
        coordinates.write_coordinates(tmp_path / "x", {"": array})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"{}\n", b"no JSON\n123", b"[1]\nabc"])
def test_a_file_of_another_kind(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match="not a whole file of coordinates"):
        coordinates.read_coordinates(tmp_path / "x")
    with pytest.raises(DataError, match="cannot be read"):
        coordinates.read_coordinates(tmp_path / "missing")


@pytest.mark.parametrize("seed", range(5))
def test_what_rounding_costs_each_metric(tmp_path, seed):
    """A joint moves by at most √3 / 2 steps, so does its label: every error changes by √3 steps at
    most. Means over many joints change far less, because roundings cancel.
    """
    true, random = correlated(400, seed=seed), torch.Generator().manual_seed(seed)
    predicted = true + 12 * torch.randn(true.shape, generator=random, dtype=torch.float64)
    arrays = {"predicted": predicted, "true": true}
    read = coordinates.read_coordinates(coordinates.write_coordinates(tmp_path / "x", arrays))
    bound = 3**0.5 * coordinates.STEP_MM + 1e-9
    before = metrics.joint_errors(predicted, true)
    after = metrics.joint_errors(read["predicted"], read["true"])
    assert (after - before).abs().max() <= bound
    # The error's own coordinate is off by a triangular variable of variance s² / 6; the mean over n
    # joints by its n-th root. Five standard deviations, and s² / 6 / error for the curvature.
    chance = 5 * coordinates.STEP_MM / 6**0.5 / before.numel() ** 0.5
    curvature = (coordinates.STEP_MM**2 / 6 / before).mean()
    assert abs(after.mean() - before.mean()) <= chance + curvature
    for threshold in torch.arange(5, 80, 5, dtype=torch.float64):
        for judge in (lambda errors: errors.amax(1), lambda errors: errors.mean(1)):
            low, high = (
                (judge(before) <= threshold + shift).double().mean() for shift in (-bound, bound)
            )
            assert low <= (judge(after) <= threshold).double().mean() <= high


def test_related_joints_take_little_more_than_their_entropy(tmp_path):
    """The entropy of a Gaussian vector in steps s is log2(√det(2πe C) / sⁿ); coefficients add."""
    hands = correlated(2000)
    size = coordinates.write_coordinates(tmp_path / "x", {"": hands}).stat().st_size
    count = hands[0].numel()
    spread = np.linalg.slogdet(2 * np.pi * np.e * np.cov(hands.flatten(1).numpy().T)).logabsdet
    bits = (spread / 2 - count * np.log(coordinates.STEP_MM)) / np.log(2)
    entropy = len(hands) * bits / 8
    assert 0.99 * entropy < size < 1.05 * entropy + 2 * count * (count - 1) / 2 + 4 * count


def test_the_committed_predictions_are_small():
    """Five bytes for a joint, besides the coefficients: 250 records of 2,227 hands take 59 MB."""
    for record in records.load_all():
        path = record.folder / "predictions.joints"
        frames = record["protocol"]["frames"] * (1 + len(record["files"]["read_outs"]))
        joints = len(record["metrics"]["per_joint_mm"])
        assert path.stat().st_size < 5 * frames * joints + 2 * (3 * joints) ** 2
