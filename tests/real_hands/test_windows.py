"""Rendered training frames: a function of their numbers, whoever renders them."""

import pytest
import torch

from handpose_lib.errors import HandPoseError
from handpose_lib.frames import Crops
from handpose_lib.real_hands.windows import Windows


def source(**options):
    return Windows(8, 250.0, 16, **{"subjects": range(4), "reuse": 2, **options})


def same(one: Crops, other: Crops) -> bool:
    return all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
        for a, b in zip(vars(one).values(), vars(other).values())
    )


def test_a_batch_depends_on_its_number_alone():
    ordered, late = source(), source()
    batches = [ordered.batch(step, 4) for step in range(3)]
    assert same(batches[2], late.batch(2, 4))
    assert same(batches[0], ordered.batch(0, 4))
    assert not same(batches[0], batches[1])


def test_no_frame_is_used_twice_and_none_is_left_out():
    frames = source(reuse=2)
    ids = [name for step in range(4) for name in frames.batch(step, 4).ids]
    assert len(set(ids)) == 16
    assert {int(name.split()[-1]) for name in ids} == set(range(16))


def test_frames_of_one_hand_are_in_different_batches():
    frames = source(reuse=4)
    hands = [{int(name.split()[-1]) // 4 for name in frames.batch(s, 3).ids} for s in range(4)]
    assert all(len(found) == 3 for found in hands)
    assert hands[0] == hands[1] == hands[2] == hands[3]


def test_seeds_change_the_frames():
    assert not same(source().batch(0, 2), source().batch(0, 2, seed=1))
    assert not same(source().batch(0, 2), source(seed=1).batch(0, 2))


def test_other_processes_render_the_same():
    with source(workers=1) as frames:
        assert same(frames.batch(0, 4), source().batch(0, 4))
        assert same(frames.batch(3, 4), source().batch(3, 4))


@pytest.mark.parametrize(
    "wrong", [{"reuse": 0}, {"workers": -1}, {"distribution": "narrow"}], ids=str
)
def test_refuses(wrong):
    with pytest.raises(HandPoseError, match="accepted"):
        source(**wrong).batch(0, 2)
