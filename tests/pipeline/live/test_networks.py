"""Every exported network answers as PyTorch does, and is described as it is."""

import numpy as np
import onnxruntime
import pytest
import torch

from handpose_lib import prepare, synth
from handpose_lib.errors import HandPoseError
from pipeline.live import NETWORKS, PAPERS, networks

CROPS = 200


@pytest.fixture(scope="module")
def frames():
    return synth.frames(range(CROPS), seed=11, distribution="wide_view", subjects=[8])


def crops_of(frames, live, hands=None):
    return prepare.crop(
        frames.depth, frames.camera, frames.centre, live.cube, frames.joints, hands=hands
    )


@pytest.fixture(scope="module")
def session_of(exported):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1

    def session(name):
        path = str(exported(name))
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    return session


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_an_exported_network_answers_as_pytorch_does(name, frames, session_of):
    """The network computes in float32, of which 7e-5 mm is one step at the distance of a hand; the
    decoding computes in float64.
    """
    live, session = networks.open(name), session_of(name)
    hands = ["left" if number % 4 == 0 else "right" for number in range(CROPS)]
    crops = crops_of(frames, live, hands)
    x, view = live.method.encode(crops), networks.view_of(crops)
    truth = live.method.decode(live.method(x), crops).numpy()
    found, inside = zip(
        *(
            session.run(
                ["joints", "inside"],
                {"input": x[i : i + 1].numpy(), "view": view[i : i + 1].numpy()},
            )
            for i in range(CROPS)
        ),
        strict=True,
    )
    apart = np.abs(np.concatenate(found) - truth)
    assert apart.mean() < 1e-4 and apart.max() < 5e-4
    maps = np.concatenate(inside)
    assert maps.shape[0] == CROPS and maps.ndim == 4 and np.isfinite(maps).all()
    about = networks.described(live)["inside"]
    assert maps.shape[1] == (21 if about["per"] == "joint" else 3)


@pytest.mark.parametrize("name", ["structure_aware_hourglass", "v2v_posenet", "densereg"])
def test_the_inside_of_a_map_network_is_highest_near_the_joint(name, frames, session_of):
    """Of most joints: their maps are of the same answer as the joints."""
    live, session = networks.open(name), session_of(name)
    crops = crops_of(frames, live).index(slice(0, 20))
    x, view = live.method.encode(crops), networks.view_of(crops)
    near = []
    for i in range(20):
        joints, inside = session.run(
            ["joints", "inside"], {"input": x[i : i + 1].numpy(), "view": view[i : i + 1].numpy()}
        )
        see = prepare.xyz_to_cube if x.ndim == 5 else prepare.to_view
        n = see(torch.from_numpy(joints).float(), crops.index(slice(i, i + 1)))[0, :, :2]
        size = inside.shape[-1]
        place = ((n + 1) * (size / 2) - 0.5).numpy()
        top = inside[0].reshape(21, -1).argmax(1)
        peaks = np.stack([top % size, top // size], 1)
        near.append(np.abs(peaks - place).max(1) <= 2)
    assert np.mean(near) > 0.8


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_offsets_lead_from_the_pixels_to_the_joints(name, frames, session_of):
    """As the page draws them: from the pixel of the input that a pixel of the maps shows.

    The joints of JGR-P2O are the weighted means of the ends, those of DenseReg are near the end
    with the largest weight.
    """
    live, session = networks.open(name), session_of(name)
    has = bool(networks.described(live)["inside"]["offsets"])
    assert has == ("offsets" in [output.name for output in session.get_outputs()])
    if not has:
        return
    crops = crops_of(frames, live).index(slice(0, 20))
    x, view = live.method.encode(crops), networks.view_of(crops)
    apart = []
    for i in range(20):
        joints, offsets = session.run(
            ["joints", "offsets"], {"input": x[i : i + 1].numpy(), "view": view[i : i + 1].numpy()}
        )
        one = crops.index(slice(i, i + 1))
        place = prepare.to_view(torch.from_numpy(joints).float(), one)[0, :, :2].numpy()
        size = offsets.shape[-1]
        stride = x.shape[-1] / size
        pixel = (stride * np.arange(size) + 0.5) * (2 / x.shape[-1]) - 1
        starts = np.stack(np.meshgrid(pixel, pixel))  # (2, h, w)
        ends, weights = (starts + offsets[0, :, :2]).reshape(21, 2, -1), offsets[0, :, 3]
        weights = weights.reshape(21, 1, -1)
        if live.method.name == "jgr_p2o":
            end = (ends * weights).sum(-1)
        else:
            end = np.take_along_axis(ends, weights.argmax(-1)[..., None], 2)[..., 0]
        apart.append(np.abs(end - place).max(1) * live.cube / 2)  # mm
    if live.method.name == "jgr_p2o":
        assert np.max(apart) < 0.01
    else:
        assert np.median(apart) < 5


def test_the_description_says_what_encode_does():
    for name in NETWORKS:
        live = networks.open(name)
        about = networks.described(live)
        if about["kind"] == "voxels":
            assert live.method.encode(networks.flat_crop(live.cube)).shape[2:] == (
                (about["size"],) * 3
            )
            continue
        for depth in (-1.0, -0.5, 0.0, 0.75):
            value = live.method.encode(networks.flat_crop(live.cube, depth))
            expected = about["middle"] + (about["middle"] - about["front"]) * depth
            torch.testing.assert_close(value, torch.full_like(value, expected))


def test_every_paper_is_offered_and_others_are_refused():
    from handpose_lib import papers

    assert sorted(PAPERS) == papers.names()
    with pytest.raises(HandPoseError, match="network of the live page"):
        networks.open("alexnet")
