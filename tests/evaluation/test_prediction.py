"""Predictions do not depend on the batch, and baselines follow their definition."""

import threading
from collections.abc import Generator
from dataclasses import replace

import pytest
import torch
from torch import nn

from handpose_lib import evaluation, prepare
from handpose_lib.camera import Camera
from handpose_lib.errors import HandPoseError
from handpose_lib.evaluation import metrics
from handpose_lib.frames import DepthFrame
from handpose_lib.io.background import in_background

CAMERA = Camera(60.0, 60.0, 32.0, 24.0, 64, 48)


class Squares:
    """A data set of squares at 300 mm, each twice as wide as the one before; one joint at each
    corner.
    """

    def __init__(self, widths, hand="right"):
        self.widths, self.hand = widths, hand

    def __len__(self):
        return len(self.widths)

    def frames(self, indices):
        return [self._frame(self.widths[i], f"{i}") for i in indices]

    def _frame(self, width, name):
        depth = torch.zeros(48, 64)
        depth[24 - width : 25 + width, 32 - width : 33 + width] = 300.0
        side = width * 300 / 60
        corners = torch.tensor(
            [[-side, -side, 300.0], [side, side, 300.0], [side, -side / 2, 300.0]]
        )
        if self.hand == "left":
            corners[:, 0] *= -1
        return DepthFrame(depth, CAMERA, corners, name, self.hand)

    def joints(self):
        frames = self.frames(range(len(self)))
        return torch.stack([frame.joints for frame in frames if frame.joints is not None])


class Guess(nn.Module):
    """Puts a learned constant at the centre of the cube; counts the batches it saw."""

    def __init__(self):
        super().__init__()
        self.pose, self.seen = nn.Parameter(torch.zeros(3, 3)), []

    def encode(self, crops):
        return prepare.image(crops, 8)

    def forward(self, x):
        self.seen.append((len(x), self.training))
        return x.mean((1, 2, 3))

    def decode(self, y, crops):
        return crops.centre[:, None] + self.pose + y[:, None, None]


def test_predictions_do_not_depend_on_the_batch():
    data = Squares([2, 3, 4, 5, 6, 7, 8])
    method = Guess()
    whole = evaluation.predict(method, data, cube=100.0, batch=7)
    assert whole.shape == (7, 3, 3) and not whole.requires_grad
    for batch in (1, 3, 64):
        assert torch.equal(evaluation.predict(method, data, cube=100.0, batch=batch), whole)


def test_prediction_evaluates_and_leaves_the_mode_as_it_was():
    method = Guess().train()
    evaluation.predict(method, Squares([2, 3, 4]), cube=100.0, batch=2)
    assert method.seen == [(2, False), (1, False)]
    assert method.training


def test_score_is_the_summary_of_the_metrics():
    true = Squares([2, 3]).joints()
    assert evaluation.score(true + 1, true) == metrics.summary(true + 1, true)


def test_the_mean_pose_is_the_mean_of_what_was_seen():
    """Widths 2 and 4 are 10 and 20 mm; their mean pose of 15 mm is right for width 3."""
    train, test = Squares([2, 4] * 3), Squares([3])
    assert evaluation.baselines(train, test, cube=200.0)["mean_pose_mm"] == pytest.approx(
        0, abs=1e-3
    )


def test_the_nearest_neighbour_of_a_known_frame_is_itself():
    data = Squares([2, 4, 6, 8, 10])
    found = evaluation.baselines(data, data, cube=200.0)
    assert found["knn1_mm"] == pytest.approx(0, abs=1e-3)
    # The mean of all five frames is the mean pose.
    assert found["knn5_mm"] == pytest.approx(found["mean_pose_mm"], abs=1e-3)


def test_a_left_hand_borrows_from_right_ones():
    found = evaluation.baselines(Squares([2, 4, 6, 8, 10]), Squares([4, 8], "left"), cube=200.0)
    assert found["knn1_mm"] == pytest.approx(0, abs=1e-3)


def test_too_few_frames_for_the_neighbours():
    with pytest.raises(HandPoseError, match="at least 5"):
        evaluation.baselines(Squares([2, 4]), Squares([3]), cube=200.0)


def test_a_data_set_needs_a_cube():
    with pytest.raises(HandPoseError, match="cube"):
        evaluation.predict(Guess(), Squares([2]))


def test_what_can_sweep_itself_is_asked_to():
    class Swept(Squares):
        def sweep(self, *, cube, batch, device):
            yield replace(
                prepare.batch(self.frames(range(len(self))), cube), ids=["swept"] * len(self)
            )

    (crops,) = evaluation.sweep(Swept([2, 3]), cube=100.0)
    assert crops.ids == ["swept", "swept"]


def test_throughput_counts_frames():
    crops = prepare.batch(Squares([2, 3, 4, 5]).frames(range(4)), 100.0)
    found = evaluation.throughput(Guess(), crops, seconds=0.01)
    assert found["batch"] == 4
    assert found["ms_per_frame"] * found["frames_per_second"] == pytest.approx(1000)


def test_background_keeps_order_looks_ahead_and_no_further():
    made, gate = [], threading.Event()

    def make(key):
        made.append(key)
        if len(made) == 3:
            gate.set()
        return key * key

    numbers = in_background(make, range(100), ahead=2)
    assert next(numbers) == 0
    assert gate.wait(10), "the thread did not work ahead"
    assert list(numbers) == [k * k for k in range(1, 100)]
    assert made == list(range(100))


def test_background_stops_when_it_is_left():
    made = []
    numbers = in_background(lambda key: made.append(key), range(1000), ahead=2)
    next(numbers)
    assert isinstance(numbers, Generator)
    numbers.close()
    assert len(made) <= 4


def test_an_error_in_the_background_arrives():
    def fail(key):
        raise HandPoseError("frame 3 is damaged")

    with pytest.raises(HandPoseError, match="frame 3"):
        list(in_background(fail, range(5)))


@pytest.mark.parametrize("name", ["gpu", "cuda:99", 3.5])
def test_an_unknown_device_is_an_error(name):
    with pytest.raises(HandPoseError, match="device"):
        evaluation.find_device(name)


def test_automatic_device_is_one_that_is_there():
    assert evaluation.find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    peak = evaluation.peak_memory("cpu")
    assert peak is None or peak > 1 << 20
