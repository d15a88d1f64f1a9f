"""Mean shift against Algorithm 1 written as loops, and its laws."""

import math

import pytest
import torch

from handpose_lib.nets.mean_shift import densest, heaviest_cell, log_weights, mean_shift


def sets(frames=3, joints=4, candidates=6, spread=60.0):
    """Votes in mm, float64: most of a set near each other, some astray."""
    middle = spread * torch.randn(frames, joints, 1, 3, dtype=torch.float64)
    points = middle + 15 * torch.randn(frames, joints, candidates, 3, dtype=torch.float64)
    points[..., -1, :] += 120
    return points, torch.rand(frames, joints, candidates, dtype=torch.float64) + 0.01


def algorithm_1(points, weights, sigma, iterations, start):
    """The loop of the paper for one joint, number by number."""
    p = list(start)
    for _ in range(iterations):
        total, mean = 0.0, [0.0, 0.0, 0.0]
        for point, weight in zip(points, weights):
            share = weight * math.exp(-sum((a - b) ** 2 for a, b in zip(point, p)) / (2 * sigma**2))
            total += share
            mean = [m + share * a for m, a in zip(mean, point)]
        p = [m / total for m in mean]
    return p


@pytest.mark.parametrize("sigma", [10.0, 40.0, 100.0])
def test_algorithm_1_as_loops(sigma):
    points, weights = sets()
    start = densest(points, log_weights(weights), sigma)
    found = mean_shift(points, weights, sigma, 10)
    for n in range(points.shape[0]):
        for j in range(points.shape[1]):
            expected = algorithm_1(
                points[n, j].tolist(), weights[n, j].tolist(), sigma, 10, start[n, j].tolist()
            )
            assert found[n, j].tolist() == pytest.approx(expected, abs=1e-9)


def test_a_single_point_stays():
    points, weights = sets(candidates=2)
    found = mean_shift(points[..., :1, :], weights[..., :1], 1.0)
    torch.testing.assert_close(found, points[..., 0, :], rtol=0, atol=1e-9)
    assert torch.equal(
        mean_shift(points[..., :1, :], torch.zeros_like(weights[..., :1])), points[..., 0, :]
    )


def test_the_order_of_candidates_does_not_matter():
    points, weights = sets()
    order = torch.randperm(points.shape[-2])
    torch.testing.assert_close(
        mean_shift(points[..., order, :], weights[..., order]),
        mean_shift(points, weights),
        rtol=0,
        atol=1e-9,
    )


def test_it_commutes_with_rigid_motion():
    points, weights = sets()
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    moved = points @ turn.T + torch.tensor([30.0, -200.0, 500.0], dtype=torch.float64)
    expected = mean_shift(points, weights) @ turn.T + torch.tensor(
        [30.0, -200.0, 500.0], dtype=torch.float64
    )
    torch.testing.assert_close(mean_shift(moved, weights), expected, rtol=0, atol=1e-9)


def test_only_ratios_of_weights_count_and_none_is_all_alike():
    points, weights = sets()
    torch.testing.assert_close(mean_shift(points, 7 * weights), mean_shift(points, weights))
    torch.testing.assert_close(
        mean_shift(points, 0 * weights), mean_shift(points, torch.ones_like(weights))
    )
    silenced = weights.clone()
    silenced[..., 2] = -3.0
    rest = [0, 1, 3, 4, 5]
    torch.testing.assert_close(
        mean_shift(points, silenced), mean_shift(points[..., rest, :], weights[..., rest])
    )


def test_a_wide_kernel_gives_the_weighted_mean_and_a_narrow_one_a_point():
    points, weights = sets()
    mean = (weights[..., None] * points).sum(-2) / weights.sum(-1, keepdim=True)
    torch.testing.assert_close(mean_shift(points, weights, 1e6), mean, rtol=0, atol=1e-4)
    found = mean_shift(points, weights, 1e-3)
    torch.testing.assert_close(
        found, densest(points, log_weights(weights), 1e-3), rtol=0, atol=1e-6
    )


def test_the_density_never_falls_along_the_way():
    """Mean shift climbs: Σ w k(p_i − p) rises with every step (Comaniciu & Meer 2002)."""
    points, weights = sets()
    start = points[..., -1, :]  # the one astray

    def density(p):
        return (weights * torch.exp(-(points - p[..., None, :]).square().sum(-1) / 3200)).sum(-1)

    steps = torch.stack(
        [density(mean_shift(points, weights, 40.0, n, start) if n else start) for n in range(12)]
    )
    assert (steps.diff(dim=0) >= -1e-12).all()


def test_heaviest_cell_by_hand():
    """Cells of 50 mm about 0: two light points share the cell from 0 to 50 and outweigh the heavy
    one.
    """
    points = torch.tensor(
        [[10.0, 10.0, 10.0], [40.0, 45.0, 5.0], [-60.0, 10.0, 10.0], [500.0, 0.0, 0.0]]
    )
    assert heaviest_cell(points, torch.tensor([0.4, 0.4, 0.7, 0.1])).tolist() == [25.0, 25.0, 25.0]
    assert heaviest_cell(points, torch.tensor([0.1, 0.4, 0.7, 0.1])).tolist() == [-75.0, 25.0, 25.0]
    assert heaviest_cell(points, torch.tensor([0.1, 0.1, 0.1, 0.9])).tolist() == [75.0, 25.0, 25.0]
