"""Data sets whose reference points a network finds."""

import pytest
import torch

from handpose_lib import prepare, synth, training
from handpose_lib.dataset_specs import preset
from handpose_lib.errors import HandPoseError
from handpose_lib.hand_detection import located, trained
from handpose_lib.hand_detection.located import Located


class Rendered:
    """Frames of a hand as a data set, some of them with a centre of their own."""

    name, camera, skeleton = "msra", preset("msra"), None
    synthetic, fingerprint, protocol = True, "0" * 16, {"split": "all"}

    def __init__(self):
        self.rendered = synth.frames(range(4), seed=3, setup="msra", distribution="wide_view")

    def __len__(self):
        return len(self.rendered)

    def frames(self, indices):
        return [self.rendered.frame(i) for i in indices]

    def joints(self):
        return self.rendered.joints

    def describe(self):
        return "rendered"


@pytest.mark.parametrize("name", ["mass", *located.NAMES])
def test_a_data_set_with_found_centres_is_one_to_train_on(name):
    dataset = Rendered()
    depth, cameras = dataset.rendered.depth, dataset.camera.intrinsics().expand(4, 4)
    crude = prepare.locate(depth, dataset.camera)
    wanted = {
        "mass": lambda: crude,
        "refined": lambda: trained.load("centre_refiner")(depth, cameras, crude),
        "detected": lambda: trained.load("hand_detector")(depth, cameras),
    }[name]()
    locate = located.by_name(name) if name in located.NAMES else located.locator()
    found = Located(dataset, locate, name)
    source = training.Stored(found, 250.0, "stored")
    torch.testing.assert_close(source.crops(range(4)).centre, wanted, rtol=0, atol=0.01)
    assert torch.equal(found[2].depth, depth[2]) and len(found) == 4
    assert torch.equal(found.joints(), dataset.joints())
    assert found.protocol == {"split": "all", "centres": name} and name in found.describe()
    assert source.describe()["protocol"]["centres"] == name


def test_frames_rendered_while_training_are_located_the_same_way():
    locate = located.by_name("refined")
    options = {"frames": 4, "cube": 250.0, "setup": "msra"}
    source = training.OnTheFly(**options, centre="refined", locate=locate)
    plain = training.OnTheFly(**options, centre="mass")
    assert source.describe()["centre"] == "refined"
    moved = source.batch(0, 4).centre - plain.batch(0, 4).centre
    assert 0 < moved.norm(dim=-1).max() < 60


def test_unknown_ways_are_errors():
    with pytest.raises(HandPoseError, match="centre.*refined, detected"):
        located.by_name("mass")
    with pytest.raises(HandPoseError, match="mass, outline"):
        located.locator("centre")
    with pytest.raises(HandPoseError, match="centre"):
        training.OnTheFly(frames=4, cube=250.0, centre="refined")
