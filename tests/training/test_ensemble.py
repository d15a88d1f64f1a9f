"""The ensemble of a training's epochs: the mean of the joints that its networks predict."""

from dataclasses import replace

import pytest
import torch

from handpose_lib import evaluation, papers, training
from handpose_lib.errors import DataError
from handpose_lib.io.storage import write_tensors
from handpose_lib.training import ensemble
from tests.papers.test_jgr_p2o import blobs


class Crowd:
    """A source whose frames are cropped already."""

    def __init__(self, n=5):
        self.crops = blobs(n, joints=14)

    def __len__(self):
        return len(self.crops)

    def sweep(
        self, *, cube: float | None = None, batch: int = 64, device: torch.device | str = "cpu"
    ):
        crops = replace(self.crops, cube=torch.full_like(self.crops.cube, cube or 250.0))
        for start in range(0, len(self), batch):
            yield crops.index(slice(start, start + batch)).to(device)


def network(seed, **overrides):
    torch.manual_seed(seed)
    return papers.create("v2v_posenet", "nyu14", size=16, width=2, initial_std=0.3, **overrides)


def run(out, epochs=3):
    """A folder as a training leaves it."""
    for epoch in range(1, epochs + 1):
        write_tensors(training.epoch_weights(out, epoch), network(epoch).state_dict())
    return out


def test_places_are_averaged_and_not_volumes(tmp_path):
    frames, method = Crowd(), network(9)
    found = ensemble.predict(method, run(tmp_path), frames, cube=250.0, batch=2)
    each = torch.stack(
        [evaluation.predict(network(epoch), frames, cube=250.0) for epoch in (1, 2, 3)]
    )
    assert each.std(0).mean() > 1  # they do not agree
    torch.testing.assert_close(found, each.mean(0), rtol=0, atol=1e-3)
    # arg-max knows 8 places along each axis; their means over three networks lie between
    assert found.dtype == torch.float32 and len(found[..., 2].unique()) > len(
        each[0, ..., 2].unique()
    )


def test_files_may_be_chosen_and_one_is_the_network_itself(tmp_path):
    frames, files = Crowd(), ensemble.kept(run(tmp_path, 11))
    assert [file.stem for file in files] == [f"{n:03d}" for n in range(1, 12)]
    last = ensemble.predict(network(9), files[-1:], frames)
    assert torch.equal(last, evaluation.predict(network(11), frames))


def test_the_method_keeps_its_weights_and_its_mode(tmp_path):
    method = network(9).train()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    ensemble.predict(method, run(tmp_path), Crowd())
    assert method.training
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
    head = network(1, read_out="top_k").get_submodule("head")
    write_tensors(training.epoch_weights(tmp_path, 4), head.state_dict())
    with pytest.raises(DataError, match="another network than this v2v_posenet"):
        ensemble.predict(method, tmp_path, Crowd())
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())


def test_bad_folders(tmp_path):
    with pytest.raises(DataError, match="keep_epochs"):
        ensemble.predict(network(9), tmp_path, Crowd())
    with pytest.raises(DataError, match="at least one"):
        ensemble.predict(network(9), [], Crowd())
    with pytest.raises(DataError, match="does not exist"):
        ensemble.predict(network(9), [tmp_path / "gone.safetensors"], Crowd())
