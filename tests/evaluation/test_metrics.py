"""The metrics against hand-made cases, against each other, and against the laws of a mean."""

import math

import pytest
import torch

from handpose_lib.errors import HandPoseError
from handpose_lib.evaluation import metrics


@pytest.fixture
def hands():
    """Twelve frames of five joints, and predictions that miss them by 0 to about 60 mm."""
    generator = torch.Generator().manual_seed(1)
    joints = torch.randn(12, 5, 3, generator=generator) * 80 + torch.tensor([0.0, 0.0, 400.0])
    return joints + torch.randn(12, 5, 3, generator=generator) * 15, joints


def moved(*distances):
    """One frame per tuple in `distances`: joints at the origin, predictions off by so many mm."""
    predicted = torch.zeros(len(distances), len(distances[0]), 3)
    predicted[..., 2] = torch.tensor(distances)
    return predicted, torch.zeros_like(predicted)


def test_the_error_is_the_euclidean_distance():
    predicted, joints = torch.tensor([[[3.0, 4.0, 12.0]]]), torch.zeros(1, 1, 3)
    assert metrics.joint_errors(predicted, joints).item() == 13.0


def test_mean_and_per_joint():
    predicted, joints = moved((1.0, 3.0), (2.0, 6.0))
    assert metrics.per_joint_error(predicted, joints).tolist() == [1.5, 4.5]
    assert metrics.mean_joint_error(predicted, joints).item() == 3.0


def test_worst_and_mean_judge_a_frame_differently():
    predicted, joints = moved((1.0, 9.0), (4.0, 4.0))
    assert metrics.frame_errors(predicted, joints, "worst").tolist() == [9.0, 4.0]
    assert metrics.frame_errors(predicted, joints, "mean").tolist() == [5.0, 4.0]
    assert metrics.success_rate_worst(predicted, joints, [4.5, 9.5]).tolist() == [0.5, 1.0]
    assert metrics.success_rate_mean(predicted, joints, [4.5, 9.5]).tolist() == [0.5, 1.0]
    assert metrics.success_rate_worst(predicted, joints, [5.5]).tolist() == [0.5]
    assert metrics.success_rate_mean(predicted, joints, [5.5]).tolist() == [1.0]


def test_a_joint_at_the_threshold_is_within_it():
    predicted, joints = moved((10.0,))
    assert metrics.success_rate_worst(predicted, joints, [9.999, 10.0]).tolist() == [0.0, 1.0]


def test_success_curves_rise_and_the_worst_joint_is_the_harder_judge(hands):
    worst, mean = metrics.success_rate_worst(*hands), metrics.success_rate_mean(*hands)
    assert (worst.diff() >= 0).all() and (mean.diff() >= 0).all()
    assert (worst <= mean).all()


@pytest.mark.parametrize("distance, expected", [(0.0, 1.0), (40.0, 0.5), (200.0, 0.0)])
def test_area_of_a_step(distance, expected):
    """A step at t has the area of what is right of it; the trapezoid rule rounds by half a step."""
    rates = metrics.success_rate_worst(*moved((distance,)))
    half_a_step = 0.5 / 80
    assert abs(metrics.area_under_curve(rates).item() - expected) <= half_a_step


def test_area_of_a_straight_line_is_half():
    assert metrics.area_under_curve([0.0, 0.25, 1.0], [0.0, 10.0, 40.0]).item() == pytest.approx(
        0.5, abs=1e-15
    )


def test_average_precision_counts_joints_within_ten_centimetres():
    predicted, joints = moved((100.0, 100.5), (0.0, 99.0), (150.0, 10.0))
    assert metrics.mean_average_precision(predicted, joints).item() == pytest.approx(
        (2 / 3 + 2 / 3) / 2
    )


def test_rigid_motion_of_both_changes_nothing(hands):
    predicted, joints = (points.double() for points in hands)
    rotation = torch.linalg.qr(
        torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    )[0]
    shift = torch.tensor([10.0, -20.0, 30.0], dtype=torch.float64)
    after = metrics.joint_errors(predicted @ rotation.T + shift, joints @ rotation.T + shift)
    torch.testing.assert_close(after, metrics.joint_errors(predicted, joints), rtol=0, atol=1e-10)


@pytest.mark.parametrize("cuts", [[12], [1] * 12, [5, 7], [3, 3, 6]])
def test_streaming_equals_batched(hands, cuts):
    stream = metrics.Streaming()
    for predicted, joints in zip(hands[0].split(cuts), hands[1].split(cuts)):
        stream.update(predicted, joints)
    found, batched = stream.compute(), metrics.summary(*hands)
    assert found.keys() == batched.keys()
    for key, value in batched.items():
        # Sums of 12 float64 numbers in another order: a few units in the last place.
        assert found[key] == pytest.approx(value, rel=1e-14), key


def test_summary_agrees_with_the_single_functions(hands):
    found = metrics.summary(*hands)
    worst, mean = metrics.success_rate_worst(*hands), metrics.success_rate_mean(*hands)
    expected = {
        "frames": 12,
        "mean_joint_error_mm": metrics.mean_joint_error(*hands).item(),
        "per_joint_mm": metrics.per_joint_error(*hands).tolist(),
        "thresholds_mm": list(metrics.THRESHOLDS),
        "success_rate_worst": worst.tolist(),
        "success_rate_mean": mean.tolist(),
        "auc_worst": metrics.area_under_curve(worst).item(),
        "auc_mean": metrics.area_under_curve(mean).item(),
        "map_10cm": metrics.mean_average_precision(*hands).item(),
    }
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-14), key


def test_merging_two_halves_is_seeing_the_whole(hands):
    left = metrics.Streaming().update(hands[0][:5], hands[1][:5])
    right = metrics.Streaming().update(hands[0][5:], hands[1][5:])
    whole = metrics.summary(*hands)
    merged = metrics.Streaming().merge(left).merge(metrics.Streaming()).merge(right).compute()
    for key, value in whole.items():
        assert merged[key] == pytest.approx(value, rel=1e-14), key
    assert left.compute()["frames"] == 5, "merging must not change what was merged"


def test_sums_do_not_lose_small_errors_in_large_ones():
    """float32 sums stop growing near 2^24 times an addend; a million frames must still be exact."""
    stream = metrics.Streaming()
    for _ in range(20):
        stream.update(*moved(*[(0.1,)] * 50_000))
    assert stream.compute()["mean_joint_error_mm"] == pytest.approx(
        float(torch.tensor(0.1)), rel=1e-9
    )


@pytest.mark.parametrize(
    "predicted, joints, message",
    [
        (torch.zeros(2, 3), torch.zeros(2, 3), r"shape \(2, 3\)"),
        (torch.zeros(2, 5, 2), torch.zeros(2, 5, 2), r"\(N, J, 3\)"),
        (torch.zeros(2, 5, 3), torch.zeros(3, 5, 3), "same"),
        (torch.zeros(2, 5, 3), torch.zeros(2, 1, 3), "same"),
        (torch.zeros(0, 5, 3), torch.zeros(0, 5, 3), "at least 1"),
        (
            torch.full((2, 5, 3), math.nan),
            torch.zeros(2, 5, 3),
            "predicted holds a value that is not finite",
        ),
        (
            torch.zeros(2, 5, 3),
            torch.full((2, 5, 3), math.inf),
            "joints holds a value that is not finite",
        ),
    ],
)
def test_what_does_not_fit_is_an_error(predicted, joints, message):
    with pytest.raises(HandPoseError, match=message):
        metrics.joint_errors(predicted, joints)


def test_the_first_frame_that_is_not_finite_is_named(hands):
    predicted = hands[0].clone()
    predicted[7, 2, 1] = math.nan
    with pytest.raises(HandPoseError, match="frame 7"):
        metrics.mean_joint_error(predicted, hands[1])


def test_other_bad_input(hands):
    with pytest.raises(HandPoseError, match="worst"):
        metrics.frame_errors(*hands, by="median")
    with pytest.raises(HandPoseError, match="rising"):
        metrics.success_rate_worst(*hands, thresholds=[3.0, 2.0])
    with pytest.raises(HandPoseError, match="at least two"):
        metrics.area_under_curve([1.0], [1.0])
    with pytest.raises(HandPoseError, match="no frame"):
        metrics.Streaming().compute()
    with pytest.raises(HandPoseError, match="one skeleton"):
        metrics.Streaming().update(*moved((1.0,))).update(*moved((1.0, 2.0)))
    with pytest.raises(HandPoseError, match="one skeleton"):
        metrics.Streaming().update(*moved((1.0,))).merge(
            metrics.Streaming().update(*moved((1.0, 2.0)))
        )
    with pytest.raises(HandPoseError, match="same thresholds"):
        metrics.Streaming().merge(metrics.Streaming([1.0, 2.0]))


# --- parts of the body --------------------------------------------------------

# V2V-PoseNet, Table 5, front and top view, in the order of the parts; the last is the mean.
PRINTED = {
    "front": (98.29, 99.07, 97.18, 80.42, 67.26, 98.73, 93.23, 91.80, 87.6, 88.74),
    "top": (98.4, 98.91, 96.87, 79.16, 62.44, 97.78, 86.91, 83.28, 69.62, 83.44),
}


def poses(frames=6, seed=0):
    return 300 * torch.randn(
        frames, 15, 3, generator=torch.Generator().manual_seed(seed)
    ) + torch.tensor([0.0, 0.0, 3000.0])


def test_every_joint_has_one_part():
    assert sorted(number for numbers in metrics.BODY_PARTS.values() for number in numbers) == list(
        range(15)
    )
    assert {
        part: [metrics.BODY_JOINTS[number] for number in numbers]
        for part, numbers in metrics.BODY_PARTS.items()
    } == {
        "head": ["head"],
        "neck": ["neck"],
        "shoulders": ["right shoulder", "left shoulder"],
        "elbows": ["right elbow", "left elbow"],
        "hands": ["right hand", "left hand"],
        "torso": ["torso"],
        "hips": ["right hip", "left hip"],
        "knees": ["right knee", "left knee"],
        "feet": ["right foot", "left foot"],
    }


@pytest.mark.parametrize("view", PRINTED)
def test_the_mean_is_the_one_that_the_paper_prints(view):
    """Of the nine printed rows, weighted by how often people have the part; they are rounded to
    0.01 or 0.1.
    """
    *rows, mean = PRINTED[view]
    weights = [len(numbers) for numbers in metrics.BODY_PARTS.values()]
    assert sum(w * row for w, row in zip(weights, rows, strict=True)) / sum(
        weights
    ) == pytest.approx(mean, abs=0.015)


def test_precision_by_hand():
    """All heads are 100 mm off, which counts as within; of twelve knees two are 101 mm off, of
    twelve feet one is lost.
    """
    true = poses().round().double()  # whole mm: 100 is 100
    said = true.clone()
    said[:, 0, 1] -= 100
    said[:2, 12, 0] += 101
    said[3, 14, 2] += 500
    wanted = dict.fromkeys(metrics.BODY_PARTS, 1.0) | {
        "knees": 10 / 12,
        "feet": 11 / 12,
        "mean": 87 / 90,
    }
    assert metrics.precision_by_part(said, true) == pytest.approx(wanted)
    assert metrics.precision_by_part(said, true, threshold=99)["head"] == 0


def test_the_mean_over_parts_is_the_mean_average_precision():
    true, said = poses(), poses(seed=1) * 0.1 + poses() * 0.9
    found = metrics.precision_by_part(said, true)
    assert found["mean"] == pytest.approx(metrics.mean_average_precision(said, true).item())
    assert list(found) == [*metrics.BODY_PARTS, "mean"] and 0 < found["mean"] < 1
    assert metrics.precision_by_part(said, true, threshold=1e5) == dict.fromkeys(found, 1.0)


def test_bad_input_of_parts():
    with pytest.raises(HandPoseError, match="21 joints.*15"):
        metrics.precision_by_part(torch.ones(2, 21, 3), torch.ones(2, 21, 3))
    with pytest.raises(HandPoseError, match="threshold -1"):
        metrics.precision_by_part(poses(), poses(), threshold=-1)
    with pytest.raises(HandPoseError, match="must be the same"):
        metrics.precision_by_part(poses(3), poses(2))
    with pytest.raises(HandPoseError, match="not finite"):
        metrics.precision_by_part(poses() * float("nan"), poses())
