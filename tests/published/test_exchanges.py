"""Exchanges: what was done to the numbers is found and named, and honest errors are left alone."""

import pytest
import torch

from handpose_lib import published
from handpose_lib.camera import xyz_to_uvd
from handpose_lib.published import exchanges, spaces
from tests.support import pose_files as made

NYU = published.BENCHMARKS["nyu"]
CAMERA = torch.tensor(NYU.intrinsics, dtype=torch.float64)
LABELS = made.moving(40, 14, centre=(60.0, -40.0, 700.0))
DRAW = torch.Generator().manual_seed(0)
HONEST = LABELS + 5 * torch.randn(LABELS.shape, generator=DRAW, dtype=torch.float64)
UVD = xyz_to_uvd(HONEST, CAMERA)
ENDS = torch.tensor([NYU.camera.width - 1.0, NYU.camera.height - 1.0, 0.0], dtype=torch.float64)


def found(numbers, labels=LABELS, space=None):
    space = space or spaces.of(numbers, NYU.camera)
    predicted = spaces.to_mm(numbers, space, NYU.intrinsics)
    return exchanges.find(numbers, labels, space, predicted, NYU.camera, NYU.intrinsics)


def turned(*signs):
    signs = torch.tensor(signs, dtype=torch.float64)
    return UVD * signs + ENDS * (signs < 0)


def right():
    return (HONEST - LABELS).norm(dim=-1).mean().item()


@pytest.mark.parametrize("seed", range(3))
def test_an_order_of_joints_is_found(seed):
    order = torch.randperm(14, generator=torch.Generator().manual_seed(seed))
    exchange = found(UVD[:, order])
    assert exchange is not None and exchange.order == tuple(order.argsort().tolist())
    assert exchange.error_mm == pytest.approx(right(), rel=1e-6)
    assert "taken in the order" in exchange.text and "instead of" in exchange.text


@pytest.mark.parametrize(
    "numbers, words",
    [
        (turned(-1, 1, 1), ["u runs from right to left"]),
        (turned(1, -1, 1), ["v runs from bottom to top"]),
        (turned(-1, -1, 1), ["u runs from right to left", "v runs from bottom to top"]),
        (UVD * torch.tensor([1.0, 1.0, -1.0]), ["d runs towards the viewer"]),
        (UVD * torch.tensor([1.0, 1.0, 0.1]), ["depths are in cm"]),
        (HONEST * torch.tensor([-1.0, 1.0, 1.0]), ["x runs from right to left"]),
        (HONEST / 10, ["numbers are in cm"]),
    ],
)
def test_directions_and_units_are_found(numbers, words):
    exchange = found(numbers)
    assert exchange is not None and exchange.order is None
    assert all(word in exchange.text for word in words) and len(exchange.parts) == len(words)
    assert exchange.error_mm == pytest.approx(right(), abs=0.01)


def test_two_exchanges_at_once_are_found():
    order = torch.randperm(14, generator=torch.Generator().manual_seed(5))
    exchange = found(turned(-1, 1, 1)[:, order])
    assert exchange is not None and exchange.order == tuple(order.argsort().tolist())
    assert exchange.parts[0] == "its u runs from right to left"


def test_mirrored_hands_are_found():
    middle = HONEST.mean(1, keepdim=True)
    mirrored = middle + (HONEST - middle) * torch.tensor([-1.0, 1.0, 1.0])
    exchange = found(xyz_to_uvd(mirrored, CAMERA))
    assert exchange is not None
    assert exchange.parts == ("left and right of each hand are exchanged",)


@pytest.mark.parametrize("deviation", [3.0, 12.0, 25.0])
def test_honest_errors_are_no_exchange(deviation):
    draw = torch.Generator().manual_seed(int(deviation))
    noisy = LABELS + deviation * torch.randn(LABELS.shape, generator=draw, dtype=torch.float64)
    assert found(xyz_to_uvd(noisy, CAMERA)) is None and found(noisy) is None


def test_predictors_of_a_mean_are_no_exchange():
    centres = LABELS.mean(1, keepdim=True)
    for joints in (
        (LABELS - centres).mean(0) + centres,  # the mean pose
        centres.expand_as(LABELS).clone(),  # a single point
        LABELS.mean((0, 1)).expand_as(LABELS).clone(),  # always the same point
    ):
        assert found(joints, space="xyz") is None


def test_the_score_is_that_of_the_file_as_it_is(tmp_path):
    order = [0, *range(9, 14), *range(1, 9)]
    path = made.put(tmp_path / "p.txt", made.lines(UVD[:, order]))
    score = published.score_file(path, "nyu", LABELS, root=tmp_path)
    assert score.exchange is not None and score.exchange.text in score.warnings
    assert score.measures["mean_joint_error_mm"] == pytest.approx(score.exchange.given_mm)
    assert score.exchange.error_mm < score.exchange.given_mm / 3
