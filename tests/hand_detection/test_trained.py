"""The two networks that find hands, saved and loaded."""

import pytest
import torch

from handpose_lib.errors import DataError, HandPoseError
from handpose_lib.hand_detection import centre_refiner, hand_detector, trained
from handpose_lib.io.storage import read_json, write_json
from handpose_lib.results import records

SMALL = {
    "hand_detector": lambda: hand_detector.Detector(hand_detector.Config(channels=8, depth=2)),
    "centre_refiner": lambda: centre_refiner.CentreRefiner(
        centre_refiner.Config("one window", width=8)
    ),
}
FIELDS = {"training": {}, "curve": [], "held_out": {}}
FIELDS |= {"device": {"type": "cpu", "name": "a processor", "threads": 1}}
MORE = {"hand_detector": {"second_look": {}, "look_curve": []}, "centre_refiner": {}}


def save(kind, folder):
    torch.manual_seed(0)
    network = SMALL[kind]()
    for parameter in network.parameters():  # heads start at 0: all of them say something now
        torch.nn.init.normal_(parameter, std=0.1)
    network.load_state_dict(
        {name: value.half().to(value.dtype) for name, value in network.state_dict().items()}
    )
    assert trained.save(kind, network, folder, **FIELDS, **MORE[kind]) == folder
    return network.eval()


@pytest.mark.parametrize("kind", trained.NETWORKS)
def test_saved_and_loaded_it_is_the_same(tmp_path, kind):
    network = save(kind, tmp_path)
    again = trained.load(kind, tmp_path)
    assert not again.training and again.config == network.config
    state = again.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    record = records.load(tmp_path, kind)
    assert record.key == kind and not records.is_stale(record)
    assert record["parameters"] == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("kind", trained.NETWORKS)
@pytest.mark.parametrize("missing", ["record.json", "weights.safetensors"])
def test_a_missing_file_is_named(tmp_path, kind, missing):
    save(kind, tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(DataError, match=missing.replace(".", r"\.")):
        trained.load(kind, tmp_path)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("hand_detector", "channels", 16),
        ("hand_detector", "fingers", 5),
        ("centre_refiner", "width", 16),
        ("centre_refiner", "network", "three windows"),
    ],
)
def test_weights_of_another_architecture_are_refused(tmp_path, kind, field, value):
    save(kind, tmp_path)
    path = tmp_path / "record.json"
    record = read_json(path)
    write_json(path, {**record, "config": {**record["config"], field: value}})
    with pytest.raises(DataError, match=f"no {kind} of this architecture"):
        trained.load(kind, tmp_path)


def test_a_record_of_another_kind_is_refused(tmp_path):
    save("hand_detector", tmp_path)
    with pytest.raises(DataError, match="kind 'hand_detector'; accepted is 'centre_refiner'"):
        trained.load("centre_refiner", tmp_path)
    with pytest.raises(HandPoseError, match="hand_detector, centre_refiner"):
        trained.load("elbow_finder", tmp_path)


@pytest.mark.parametrize("kind", trained.NETWORKS)
def test_the_book_keeps_one(kind):
    assert not trained.load(kind).training
