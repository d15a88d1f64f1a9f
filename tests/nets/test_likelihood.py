"""Likelihoods against loops over voxels, and read-outs against what ideal Gaussian maps allow."""

from math import exp, sqrt

import pytest
import torch

from handpose_lib.errors import HandPoseError
from handpose_lib.nets.likelihood import (
    TINY,
    arg_max,
    bone_maps,
    gaussian_maps,
    log_gaussian_maps,
    soft_arg_max,
    top_k,
)


def places(batch=3, joints=4, size=9, axes=3, seed=0, margin=0.0):
    g = torch.Generator().manual_seed(seed)
    return (
        margin
        - 0.5
        + (size - 2 * margin) * torch.rand(batch, joints, axes, generator=g, dtype=torch.float64)
    )


def voxels(size, axes):
    """Every voxel's indices in storage order, and its place (x, y[, z])."""
    for index in torch.cartesian_prod(*[torch.arange(size)] * axes).tolist():
        yield tuple(index), index[::-1]


def to_segment(v, a, b):
    """Distance from v to the segment ab, number by number."""
    along = [q - p for p, q in zip(a, b)]
    length2 = sum(s * s for s in along)
    t = sum(s * (w - p) for s, w, p in zip(along, v, a)) / length2 if length2 else 0.0
    t = min(max(t, 0.0), 1.0)
    return sqrt(sum((w - p - t * s) ** 2 for w, p, s in zip(v, a, along)))


# --- Drawing ------------------------------------------------------------------


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("sigma", [0.5, 1.7])
def test_bells_as_loops(axes, sigma):
    middle = places(2, 3, 6, axes)
    drawn = gaussian_maps(middle, 6, sigma)
    assert drawn.shape == (2, 3, *[6] * axes)
    for b in range(2):
        for j in range(3):
            for index, v in voxels(6, axes):
                d2 = sum((p - q) ** 2 for p, q in zip(v, middle[b, j].tolist()))
                assert drawn[b, j][index].item() == pytest.approx(
                    exp(-d2 / (2 * sigma**2)), rel=1e-9, abs=TINY
                )


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("sigma", [0.5, 1.7])
def test_tubes_as_loops(axes, sigma):
    a, b = places(2, 3, 6, axes), places(2, 3, 6, axes, seed=1)
    b[0, 0] = a[0, 0]  # a bone without a length is a bell
    drawn = bone_maps(a, b, 6, sigma)
    assert drawn.shape == (2, 3, *[6] * axes)
    for n in range(2):
        for m in range(3):
            for index, v in voxels(6, axes):
                d = to_segment(v, a[n, m].tolist(), b[n, m].tolist())
                assert drawn[n, m][index].item() == pytest.approx(
                    exp(-d * d / (2 * sigma**2)), rel=1e-9, abs=1e-15
                )


@pytest.mark.parametrize("axes", [2, 3])
def test_log_bells_are_logarithms_and_never_vanish(axes):
    middle = places(2, 3, 6, axes)
    torch.testing.assert_close(
        log_gaussian_maps(middle, 6, 1.7).exp(), gaussian_maps(middle, 6, 1.7)
    )
    far = log_gaussian_maps(middle.float() + 1000, 6, 1.7)
    assert torch.isfinite(far.flatten(2).softmax(-1)).all() and (arg_max(far) == 5).all()


def test_tubes_keep_float32_near_the_bone():
    """The squared distance is a difference of squares up to 3 · 64²: off by 1e-3 at most, a
    sixteenth of a voxel at σ/8.
    """
    a, b = places(2, 8, 64), places(2, 8, 64, seed=1)
    exact = bone_maps(a, b, 64, 0.5)
    assert (
        bone_maps(a.float(), b.float(), 64, 0.5) - exact
    ).abs().max() < 2 * 3 * 64**2 * 2.0**-23 / (2 * 0.25) * 4


def test_a_tube_does_not_know_its_direction_and_holds_the_bells_of_its_ends():
    a, b = places(), places(seed=1)
    torch.testing.assert_close(bone_maps(a, b, 9, 1.0), bone_maps(b, a, 9, 1.0))
    tube = bone_maps(a, b, 9, 1.0)
    assert (tube >= gaussian_maps(a, 9, 1.0) - 1e-12).all() and (
        tube >= gaussian_maps(b, 9, 1.0) - 1e-12
    ).all()


def test_no_number_is_too_small_for_float32():
    drawn = gaussian_maps(places(4, 21, 44).float(), 44, 1.7)
    assert drawn[drawn > 0].min() >= torch.finfo(torch.float32).tiny


def test_a_place_outside_draws_its_tail():
    drawn = gaussian_maps(torch.tensor([[[-2.0, 3.0, 3.0]]]), 7, 1.0)
    assert drawn[0, 0, 3, 3, 0].item() == pytest.approx(exp(-2), rel=1e-6)


# --- Reading out --------------------------------------------------------------

READ_OUTS = {
    "arg_max": arg_max,
    "top_8": lambda volume: top_k(volume, 8),
    "soft": lambda v: soft_arg_max(v, 30.0),
}


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("read", READ_OUTS.values(), ids=READ_OUTS)
def test_a_bell_in_the_middle_of_a_voxel_is_read_exactly(read, axes):
    """But for what eight voxels of a bell with seven (five) equals cannot balance: only arg-max is
    exact there.
    """
    middle = places(size=15, axes=axes, margin=6).round()
    tolerance = 0 if read is arg_max else 0.51
    assert (read(gaussian_maps(middle, 15, 1.0)) - middle).abs().max() <= tolerance


def test_each_axis_is_read_from_its_own():
    volume = torch.zeros(1, 1, 4, 5, 6)
    volume[0, 0, 3, 1, 5] = 1
    for found in (arg_max(volume), top_k(volume, 4), soft_arg_max(volume, 100.0)):
        torch.testing.assert_close(found, torch.tensor([[[5.0, 1.0, 3.0]]]))
    image = torch.zeros(1, 1, 5, 6)
    image[0, 0, 1, 5] = 1
    for found in (arg_max(image), top_k(image, 4), soft_arg_max(image, 100.0)):
        torch.testing.assert_close(found, torch.tensor([[[5.0, 1.0]]]))


@pytest.mark.parametrize("sigma", [1.0, 1.7])
def test_arg_max_of_a_bell_is_within_half_a_voxel_along_each_axis(sigma):
    middle = places(20, 20, 16)
    assert (arg_max(gaussian_maps(middle, 16, sigma)) - middle).abs().max() <= 0.5


# Mean error in voxels of the top-K of noiseless Gaussian maps anywhere between voxels
# (card of the 3D hourglass, Section 6).
CARD = {
    1.0: {1: 0.480, 4: 0.197, 8: 0.154, 16: 0.083, 27: 0.053, 64: 0.015, 125: 0.004},
    1.7: {1: 0.474, 4: 0.224, 8: 0.182, 16: 0.120, 27: 0.084, 64: 0.041, 125: 0.030},
}


@pytest.mark.parametrize("sigma", CARD)
def test_top_k_is_as_near_as_the_card_says(sigma):
    """2,000 maps: four standard errors of the mean, of distances spread by 0.14 voxels at most,
    and half the last digit.
    """
    middle = places(40, 50, 17, margin=7)
    volume = gaussian_maps(middle, 17, sigma)
    for k, expected in CARD[sigma].items():
        distance = (top_k(volume, k) - middle).norm(dim=-1)
        spread = 4 * distance.std().item() / sqrt(distance.numel()) + 0.0005
        # The card's own figures are of as many draws: its error and ours.
        assert distance.mean().item() == pytest.approx(expected, abs=2 * spread), k
        if k == 1:
            assert distance.max() <= sqrt(3) / 2


def test_top_k_as_loops_and_without_what_is_negative():
    volume = torch.randn(2, 3, 5, 5, 5, dtype=torch.float64)
    found = top_k(volume, 90)  # reaches into the negative half of 125
    for b in range(2):
        for j in range(3):
            each = sorted(((volume[b, j][i].item(), v) for i, v in voxels(5, 3)), reverse=True)[:90]
            each = [(max(h, 0.0), v) for h, v in each]
            total = sum(h for h, _ in each)
            expected = [sum(h * v[axis] for h, v in each) / total for axis in range(3)]
            assert found[b, j].tolist() == pytest.approx(expected, abs=1e-9)


def test_without_any_height_top_k_is_the_highest():
    volume = -1 - torch.rand(2, 3, 4, 4, 4)
    assert torch.equal(top_k(volume, 5), arg_max(volume))
    assert torch.isfinite(top_k(torch.zeros(1, 1, 4, 4, 4), 3)).all()


def test_soft_arg_max_of_log_bells_is_their_middle():
    """softmax of a Gaussian's logarithm is that Gaussian, whose mean on the lattice is its middle
    to 1e-6 from σ = 1 on.
    """
    middle = places(4, 6, 25, margin=8)
    torch.testing.assert_close(
        soft_arg_max(log_gaussian_maps(middle, 25, 1.0)), middle, rtol=0, atol=1e-6
    )


def test_soft_arg_max_as_loops_and_its_gradient():
    volume = torch.randn(2, 2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    found = soft_arg_max(volume, 2.0)
    weight = (2 * volume.detach()).exp()
    for axis, dimension in ((0, 4), (1, 3), (2, 2)):
        steps = torch.arange(volume.shape[dimension]).reshape(
            [-1 if d == dimension else 1 for d in range(5)]
        )
        expected = (weight * steps).sum((2, 3, 4)) / weight.sum((2, 3, 4))
        torch.testing.assert_close(found[..., axis].detach(), expected)
    assert torch.autograd.gradcheck(soft_arg_max, volume)


def test_sharper_comes_nearer_to_the_highest():
    volume = torch.randn(4, 4, 6, 6, 6, dtype=torch.float64)
    far = [
        (soft_arg_max(volume, s) - arg_max(volume)).norm(dim=-1).mean() for s in (1.0, 10.0, 1000.0)
    ]
    assert far[0] > far[1] > far[2] and far[2] < 0.1


# --- Numerics and bad input ---------------------------------------------------


def test_volumes_of_a_batch_do_not_see_each_other():
    middle = places()
    torch.testing.assert_close(
        gaussian_maps(middle, 9, 1.7)[1:2], gaussian_maps(middle[1:2], 9, 1.7)
    )
    volume = torch.randn(3, 2, 5, 5, 5)
    for read in READ_OUTS.values():
        torch.testing.assert_close(read(volume)[1:2, :1], read(volume[1:2, :1]))


def test_nothing_waits_for_the_device():
    """On the device without memory every look at a value is an error."""
    middle = places().to("meta")
    volume = gaussian_maps(middle, 8, 1.7)
    assert bone_maps(middle, middle, 8, 0.5).shape == volume.shape == (3, 4, 8, 8, 8)
    for read in READ_OUTS.values():
        assert read(volume).shape == (3, 4, 3)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: gaussian_maps(places(), 0, 1.0), "size"),
        (lambda: gaussian_maps(places(), 8, 0.0), "sigma"),
        (lambda: gaussian_maps(places(), 8, float("nan")), "sigma"),
        (lambda: gaussian_maps(places()[0], 8, 1.0), "points"),
        (lambda: gaussian_maps(places(axes=4), 8, 1.0), "points"),
        (lambda: bone_maps(places(), places(joints=3), 8, 1.0), "ends"),
        (lambda: arg_max(torch.zeros(3, 4)), "likelihoods"),
        (lambda: top_k(torch.zeros(1, 1, 2, 2, 2), 9), "1 to 8"),
        (lambda: top_k(torch.zeros(1, 1, 2, 2, 2), 0), "1 to 8"),
        (lambda: soft_arg_max(torch.zeros(1, 1, 2, 2, 2), -1.0), "sharpness"),
    ],
)
def test_bad_input(call, word):
    with pytest.raises(HandPoseError, match=word):
        call()
