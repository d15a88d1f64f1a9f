"""The quantisation error against closed forms, random points, and networks that are never wrong."""

from math import asinh, log, pi, sqrt

import pytest
import torch

from handpose_lib import papers, prepare
from handpose_lib.errors import HandPoseError
from handpose_lib.evaluation.quantisation import quantisation_error, removable

CLOSED = {
    1: 1 / 4,
    2: (sqrt(2) + asinh(1)) / 6,
    3: (sqrt(3) / 4 + log(2 + sqrt(3)) / 2 - pi / 24) / 2,
}


@pytest.mark.parametrize("dimensions", CLOSED)
def test_the_nearest_node(dimensions):
    assert quantisation_error(3.0, dimensions) == pytest.approx(3 * CLOSED[dimensions], rel=1e-6)


@pytest.mark.parametrize("dimensions", CLOSED)
def test_a_node_at_a_corner_is_a_cell_of_twice_the_width(dimensions):
    """Around a corner lie cells of that corner: together a cell in whose middle it is."""
    corner = quantisation_error(1.0, dimensions, shift=1 / 2)
    assert corner == pytest.approx(2 * CLOSED[dimensions], rel=1e-6)


@pytest.mark.parametrize("dimensions", CLOSED)
@pytest.mark.parametrize("shift", [0.0, 0.25, -0.25, 0.4])
def test_random_points(dimensions, shift):
    """Within five standard errors of the mean of 200,000 distances."""
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(200_000, dimensions, generator=generator, dtype=torch.float64) - 0.5
    distances = (points - shift).norm(dim=1)
    close = 5 * distances.std().item() / len(distances) ** 0.5
    assert quantisation_error(1.0, dimensions, shift) == pytest.approx(
        distances.mean().item(), abs=close
    )


@pytest.mark.parametrize("convention, shift", [("port", 0.0), ("authors", 0.25)])
def test_a_volume_that_is_never_wrong(convention, shift):
    """V2V-PoseNet decodes its own targets: the error is the formula's, within five standard
    errors of the mean.
    """
    method = papers.create("v2v_posenet", "msra21", size=32, convention=convention)
    generator = torch.Generator().manual_seed(0)
    batch, side = 40, 250.0
    joints = (torch.rand(batch, 21, 3, generator=generator) - 0.5) * 0.9 * side
    joints[..., 2] += 500
    crops = prepare.crop(
        torch.zeros(batch, 8, 8),
        torch.tensor([240.0, 240.0, 4.0, 4.0]),
        torch.tensor([[0.0, 0.0, 500.0]]).expand(batch, 3),
        side,
        joints,
    )
    errors = (method.decode([method.targets(crops)], crops) - joints).norm(dim=-1).flatten()
    close = 5 * errors.std().item() / len(errors) ** 0.5
    assert errors.mean().item() == pytest.approx(
        quantisation_error(side / 16, shift=shift), abs=close
    )


def test_errors_in_quadrature():
    assert removable(5.0, 3.0) == pytest.approx(1.0)  # 3² + 4² = 5²
    assert removable(5.0, 0.0) == 0 and removable(5.0, 7.0) == 5


@pytest.mark.parametrize("arguments", [(0.0,), (1.0, 4), (1.0, 3, 0.6), (float("nan"),)])
def test_grids_that_are_none(arguments):
    with pytest.raises(HandPoseError, match="accepted are a spacing above 0"):
        quantisation_error(*arguments)
    with pytest.raises(HandPoseError, match="numbers from 0"):
        removable(1.0, -1.0)
