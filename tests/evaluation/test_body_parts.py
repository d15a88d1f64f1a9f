"""mAP at 10 cm by part of the body, against counting by hand and against the printed table."""

import pytest
import torch

from handpose_lib.errors import HandPoseError
from handpose_lib.evaluation import body_parts, metrics

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
    assert sorted(number for numbers in body_parts.PARTS.values() for number in numbers) == list(
        range(15)
    )
    assert {
        part: [body_parts.JOINTS[number] for number in numbers]
        for part, numbers in body_parts.PARTS.items()
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
    weights = [len(numbers) for numbers in body_parts.PARTS.values()]
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
    wanted = dict.fromkeys(body_parts.PARTS, 1.0) | {
        "knees": 10 / 12,
        "feet": 11 / 12,
        "mean": 87 / 90,
    }
    assert body_parts.precision(said, true) == pytest.approx(wanted)
    assert body_parts.precision(said, true, threshold=99)["head"] == 0


def test_the_mean_is_metrics_own():
    true, said = poses(), poses(seed=1) * 0.1 + poses() * 0.9
    found = body_parts.precision(said, true)
    assert found["mean"] == pytest.approx(metrics.mean_average_precision(said, true).item())
    assert list(found) == [*body_parts.PARTS, "mean"] and 0 < found["mean"] < 1
    assert body_parts.precision(said, true, threshold=1e5) == dict.fromkeys(found, 1.0)


def test_bad_input():
    with pytest.raises(HandPoseError, match="21 joints.*15"):
        body_parts.precision(torch.ones(2, 21, 3), torch.ones(2, 21, 3))
    with pytest.raises(HandPoseError, match="threshold -1"):
        body_parts.precision(poses(), poses(), threshold=-1)
    with pytest.raises(HandPoseError, match="must be the same"):
        body_parts.precision(poses(3), poses(2))
    with pytest.raises(HandPoseError, match="not finite"):
        body_parts.precision(poses() * float("nan"), poses())
