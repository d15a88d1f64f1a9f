"""Training: killed and continued it is the same training; its sources are functions of
(seed, step).
"""

import itertools
import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from handpose_lib import evaluation, prepare, training
from handpose_lib.camera import Camera
from handpose_lib.datasets.subset import Subset
from handpose_lib.errors import HandPoseError
from handpose_lib.frames import Crops, DepthFrame
from handpose_lib.io import provenance
from handpose_lib.io.storage import Checkpoints, read_tensors, write_json, write_tensors
from handpose_lib.papers.method import Method, Recipe
from handpose_lib.skeleton import Skeleton
from handpose_lib.training import loop

CAMERA = Camera(60.0, 60.0, 32.0, 24.0, 64, 48)
PAIR = Skeleton(
    name="pair", joints=("root", "tip"), parents=(-1, 0), colours=((0, 0, 0), (9, 9, 9))
)


class Patches:
    """A data set of flat patches in front of the camera; joints at the left and right edges."""

    name, fingerprint, synthetic = "patches", "0123456789abcdef", True
    skeleton, camera = PAIR, CAMERA

    def __init__(self, count=40, first=0):
        self.first, self.count, self.reads = first, count, 0
        self.protocol = {"split": "train", "first": first}

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if not 0 <= index < self.count:
            raise IndexError(index)
        self.reads += 1
        x, y, z = torch.tensor(_uniform(self.first + index, 3)) * torch.tensor(
            [60.0, 40.0, 100.0]
        ) + torch.tensor([-30.0, -20.0, 300.0])
        width = 20 + 30 * _uniform(1000 + self.first + index, 1)[0]
        joints = torch.stack(
            [torch.stack([x - width / 2, y, z]), torch.stack([x + width / 2, y, z])]
        )
        uv = joints[:, :2] / z * 60 + torch.tensor([32.0, 24.0])
        depth = torch.zeros(48, 64)
        (left, top), (right, _) = uv.round().long().tolist()
        depth[max(top - 4, 0) : top + 5, max(left, 0) : right + 1] = z
        return DepthFrame(depth, CAMERA, joints, f"{self.first + index}")

    def frames(self, indices):
        return [self[i] for i in indices]

    def joints(self):
        return torch.stack([labels(frame) for frame in self.frames(range(len(self)))])


def labels(frames: DepthFrame | Crops) -> torch.Tensor:
    """Return the joints of a frame or of crops that have them."""
    assert frames.joints is not None
    return frames.joints


def _uniform(number, count):
    return torch.rand(count, generator=torch.Generator().manual_seed(number)).tolist()


class Toy(Method):
    """A small convolutional regression with everything that could spoil a resumed training:
    batch norm, dropout, several loss terms."""

    def __init__(self, dropout=0.1, norm=True):
        super().__init__("toy", "paper", PAIR, {"width": 8})
        self.net = nn.Sequential(
            nn.Conv2d(1, 8, 3, 2, 1),
            nn.BatchNorm2d(8) if norm else nn.Identity(),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(dropout) if dropout else nn.Identity(),
            nn.Linear(128, 6),
        )

    def encode(self, crops):
        return prepare.image(crops, 16)

    def forward(self, x):
        return [self.net(x).reshape(len(x), 2, 3)]

    def targets(self, crops):
        return prepare.to_view(labels(crops), crops)

    def loss(self, y, crops):
        terms = {
            "plane": (y[-1] - self.targets(crops))[..., :2].square().mean(),
            "depth": (y[-1] - self.targets(crops))[..., 2].square().mean(),
        }
        return {"total": sum(terms.values()), **terms}

    def decode(self, y, crops):
        return prepare.from_view(y[-1], crops)


RECIPE = Recipe(
    profile="smoke",
    lr=3e-3,
    weight_decay=1e-4,
    schedule="cosine",
    warmup=4,
    batch=8,
    epochs=6,
    augmentation={"rotation": (-0.3, 0.3)},  # further, the patch's two ends could not be told apart
    cube_train=(90.0, 100.0),
    cube_test=100.0,
    average=0.9,
)


def train(out, recipe=RECIPE, validation=None, **options):
    """One small training from the start or from where `out` stands; (method, history)."""
    torch.manual_seed(0)
    method = Toy(dropout=0.1 if recipe.parts == 1 else 0.0)
    source = training.Stored(Patches(), recipe.cube_train)
    history = training.fit(
        method,
        source,
        recipe,
        out,
        seed=1,
        device="cpu",
        validation=validation,
        progress=False,
        **options,
    )
    return method, history


def same_weights(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# --- A batch in parts ---------------------------------------------------------


def train_in_parts(out, parts, threads=1, norm=True):
    """(method, history) of a training without dropout, whose order of draws would depend on the
    parts.
    """
    torch.manual_seed(0)
    method = Toy(dropout=0.0, norm=norm)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return method, training.fit(
            method,
            training.Stored(Patches(), RECIPE.cube_train),
            replace(RECIPE, parts=parts),
            out,
            seed=1,
            device="cpu",
            progress=False,
        )
    finally:
        torch.set_num_threads(before)


def test_parts_average_to_the_gradient_of_the_whole_batch(tmp_path):
    """Without batch norms the mean over equal parts is the mean over the batch, up to rounding."""
    whole, whole_history = train_in_parts(tmp_path / "1", 1, norm=False)
    parted, history = train_in_parts(tmp_path / "4", 4, norm=False)
    for a, b in zip(whole.parameters(), parted.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    for a, b in zip(whole_history.curve, history.curve, strict=True):
        assert a["total"] == pytest.approx(b["total"], rel=1e-3)


def test_threads_decide_no_bit_of_a_training_in_parts(tmp_path):
    one, first = train_in_parts(tmp_path / "a", 2, threads=1)
    two, second = train_in_parts(tmp_path / "b", 2, threads=2)
    assert same_weights(one, two) and first.curve == second.curve


@pytest.mark.parametrize(
    ("method", "parts", "message"),
    [
        (lambda: Toy(dropout=0.0), 3, "a batch of 8 in 3 parts"),
        (lambda: Toy(), 2, "drops out at random"),
    ],
)
def test_what_cannot_be_parted_is_said(tmp_path, method, parts, message):
    with pytest.raises(HandPoseError, match=message):
        training.fit(
            method(),
            training.Stored(Patches(), RECIPE.cube_train),
            replace(RECIPE, parts=parts),
            tmp_path,
            device="cpu",
            progress=False,
        )
    assert not (tmp_path / "checkpoint").exists()


# --- Killed and continued -----------------------------------------------------


def train_to_files(out, parts):
    """What the killed processes run: a training that writes a checkpoint every 20 ms."""
    torch.set_num_threads(1)
    method, history = train(out, replace(RECIPE, epochs=60, parts=parts), checkpoint_seconds=0.02)
    write_tensors(Path(out) / "weights.safetensors", method.state_dict())
    write_json(Path(out) / "curve.json", {"curve": history.curve})


@pytest.mark.parametrize("parts", [1, 2])
def test_a_training_killed_at_random_moments_ends_in_the_same_bits(tmp_path, parts):
    """SIGKILL, wherever it hits: while it trains, while it writes."""
    processes = multiprocessing.get_context("forkserver")  # a fresh process each, imports done once
    processes.set_forkserver_preload(["lightning.fabric"])

    def start(folder):
        process = processes.Process(target=train_to_files, args=(tmp_path / folder, parts))
        process.start()
        return process

    whole = start("whole")
    whole.join()
    assert whole.exitcode == 0

    checkpoints, moments, kills = Checkpoints(tmp_path / "torn" / "checkpoint"), random.Random(7), 0
    for _ in range(4):
        known = checkpoints.steps()
        process = start("torn")
        while process.is_alive() and checkpoints.steps() == known:
            time.sleep(0.002)  # its first checkpoint shows that it is in the loop
        time.sleep(moments.uniform(0, 0.2))
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
    assert kills >= 2, "the processes ended before they could be killed"
    last = start("torn")
    last.join()
    assert last.exitcode == 0

    for file in ("weights.safetensors", "curve.json"):
        assert (tmp_path / "torn" / file).read_bytes() == (
            tmp_path / "whole" / file
        ).read_bytes(), file
    left = sorted(path.name for path in (tmp_path / "torn" / "checkpoint").iterdir())
    assert len(left) == 4, f"half-written files were left behind: {left}"


def test_a_training_stopped_in_the_middle_of_an_epoch_continues(tmp_path):
    whole, history = train(tmp_path / "whole")

    class Stop(Exception):
        pass

    class Ending(training.Stored):
        def batch(self, step, size, seed=0, device="cpu", rows=None):
            if step == 13:  # the third epoch has updates 10 to 14
                raise Stop
            return super().batch(step, size, seed, device, rows)

    torch.manual_seed(0)
    with pytest.raises(Stop):
        training.fit(
            Toy(),
            Ending(Patches(), RECIPE.cube_train),
            RECIPE,
            tmp_path / "torn",
            seed=1,
            device="cpu",
            progress=False,
            checkpoint_seconds=0,
        )
    assert Checkpoints(tmp_path / "torn" / "checkpoint").steps()[-1] == 13
    continued, again = train(tmp_path / "torn")
    assert same_weights(whole, continued)
    assert again.curve == history.curve


def test_a_finished_training_returns_at_once(tmp_path):
    whole, history = train(tmp_path)
    again, repeated = train(tmp_path)
    assert same_weights(whole, again)
    assert (repeated.curve, repeated.seconds) == (history.curve, history.seconds)


def test_a_training_left_after_an_epoch_continues_to_the_same_bits(tmp_path):
    whole, history = train(tmp_path / "whole")
    _, first = train(tmp_path / "torn", until=1)
    assert first.curve == history.curve[:1] and first.steps == len(Patches()) // RECIPE.batch
    continued, again = train(tmp_path / "torn")
    assert same_weights(whole, continued) and again.curve == history.curve


def test_the_weights_of_every_epoch_are_kept_where_the_recipe_says_so(tmp_path):
    method, history = train(tmp_path, replace(RECIPE, average=None, keep_epochs=True))
    kept = [
        read_tensors(training.epoch_weights(tmp_path, entry["epoch"])) for entry in history.curve
    ]
    for name, value in method.state_dict().items():
        assert torch.equal(kept[-1][name], value)
        if value.is_floating_point():
            assert not torch.equal(kept[0][name], value)


def test_rmsprop_divides_by_the_running_root_mean_square():
    method = Toy(dropout=0.0)
    recipe = replace(RECIPE, optimiser="rmsprop", lr=0.1, betas=(0.0, 0.9), weight_decay=0.0)
    optimiser = loop._optimiser(method, recipe)
    parameter = next(method.parameters())
    expected, square = parameter.detach().clone(), torch.zeros_like(parameter)
    for step in range(3):
        gradient = torch.full_like(parameter, step + 1.0)
        parameter.grad = gradient.clone()
        optimiser.step()
        square = 0.9 * square + 0.1 * gradient**2
        expected -= 0.1 * gradient / (square.sqrt() + 1e-8)
    assert torch.allclose(parameter, expected, rtol=1e-6)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path):
    whole, history = train(tmp_path, checkpoint_seconds=0)
    checkpoints = Checkpoints(tmp_path / "checkpoint")
    before, last = checkpoints.steps()
    file = tmp_path / "checkpoint" / f"{last:08d}.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    assert newest(checkpoints) == before
    again, repeated = train(tmp_path)
    assert same_weights(whole, again)
    assert repeated.curve == history.curve
    assert newest(checkpoints) == last


def test_a_torn_pair_falls_back_to_the_one_before(tmp_path):
    """The tensors of a new checkpoint are there, its JSON is not."""
    train(tmp_path, checkpoint_seconds=0)
    checkpoints = Checkpoints(tmp_path / "checkpoint")
    before, last = checkpoints.steps()
    (tmp_path / "checkpoint" / f"{last:08d}.json").unlink()
    assert newest(checkpoints) == before


def newest(checkpoints):
    """Return the step of the newest whole checkpoint."""
    found = checkpoints.latest()
    assert found is not None
    return found[0]


def test_other_settings_in_the_same_folder_are_an_error_that_names_them(tmp_path):
    train(tmp_path, replace(RECIPE, epochs=1))
    with pytest.raises(HandPoseError, match=r"recipe\.lr = 0\.003.*0\.001"):
        train(tmp_path, replace(RECIPE, epochs=1, lr=1e-3))


def test_other_code_starts_over_and_says_so(tmp_path, monkeypatch):
    _, history = train(tmp_path, replace(RECIPE, epochs=1))
    monkeypatch.setattr(loop, "_code_digest", lambda modules, without: "changed")
    with pytest.warns(UserWarning, match="starts over"):
        _, again = train(tmp_path, replace(RECIPE, epochs=1))
    assert again.curve == history.curve
    assert again.settings["code"]["digest"] == "changed"


def test_only_frames_rendered_while_training_depend_on_the_code_that_renders():
    rendered = training.OnTheFly(frames=8, cube=250.0)
    stored = training.Stored(Patches(8), 250.0, "stored")
    for source, without in ((stored, [*provenance.RENDERING]), (rendered, [])):
        settings = loop._settings(Toy(), source, RECIPE, 0, None)
        assert settings["code"]["without"] == without


# --- What the loop does -------------------------------------------------------


def test_training_reduces_the_error(tmp_path):
    _, history = train(tmp_path, replace(RECIPE, epochs=20))
    errors = [entry["error_mm"] for entry in history.curve]
    assert errors[-1] < errors[0] / 2
    assert [entry["epoch"] for entry in history.curve] == list(range(1, 21))
    assert history.steps == history.curve[-1]["step"] == 100
    assert history.frames == 800
    for entry in history.curve:
        assert entry["total"] == pytest.approx(entry["plane"] + entry["depth"], rel=1e-5)


def test_the_best_epoch_on_validation_is_kept_if_the_recipe_chooses_one(tmp_path):
    recipe = replace(
        RECIPE, schedule="exponential", gamma=1.0, average=None, lr=2e-2, choose_epoch=True
    )
    with pytest.raises(HandPoseError, match="choose_epoch.*a validation set"):
        train(tmp_path, recipe)
    validation = Patches(16, first=500)
    method, history = train(tmp_path, recipe, validation)
    errors = [entry["validation_mm"] for entry in history.curve]
    assert history.choice == "best epoch on validation"
    assert history.epoch == 1 + errors.index(min(errors))
    predicted = evaluation.predict(method, validation, cube=recipe.cube_test, batch=recipe.batch)
    assert evaluation.score(predicted, validation.joints())["mean_joint_error_mm"] == pytest.approx(
        min(errors)
    )


def test_the_last_or_the_averaged_weights_count_otherwise(tmp_path):
    _, averaged = train(tmp_path / "a")
    _, last = train(tmp_path / "b", replace(RECIPE, average=None))
    assert (averaged.choice, last.choice) == ("average", "last")
    assert averaged.epoch == last.epoch == 6


def test_averaged_weights_are_the_recurrence_that_the_recipe_names(tmp_path):
    """One update from w0 to w1: the average is w0 + (1 − d)(w1 − w0), d = min(0.9, 2/11)."""
    torch.manual_seed(0)
    before = {name: value.clone() for name, value in Toy().state_dict().items()}
    recipe = replace(RECIPE, epochs=1, epoch_frames=8)
    last, _ = train(tmp_path / "last", replace(recipe, average=None))
    averaged, _ = train(tmp_path / "average", recipe)
    for name, value in averaged.state_dict().items():
        if value.is_floating_point():
            expected = torch.lerp(before[name], last.state_dict()[name], 1 - 2 / 11)
            torch.testing.assert_close(value, expected)


def test_a_loss_that_is_no_number_stops_the_training(tmp_path):
    with pytest.raises(HandPoseError, match="diverged"):
        train(tmp_path, replace(RECIPE, lr=1e30, warmup=0, average=None))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"schedule": "linear"}, "exponential, steps, cosine, onecycle"),
        ({"optimiser": "sgd"}, "adam, adamw"),
        ({"precision": "8-bit"}, "32-true, bf16-mixed"),
    ],
)
def test_unknown_settings_are_errors(tmp_path, change, message):
    with pytest.raises(HandPoseError, match=message):
        train(tmp_path, replace(RECIPE, **change))


def test_weight_decay_reaches_kernels_and_not_biases():
    method = Toy()
    decayed, free = loop._optimiser(method, RECIPE).param_groups
    assert decayed["weight_decay"] == RECIPE.weight_decay and free["weight_decay"] == 0
    assert {id(p) for p in free["params"]} == {
        id(p) for n, p in method.named_parameters() if n.endswith("bias")
    }


# --- Schedules ----------------------------------------------------------------


def rates(steps=100, per_epoch=10, **changes):
    recipe = replace(RECIPE, lr=1.0, warmup_from=0.0, **changes)
    return [training.learning_rate(recipe, step, steps, per_epoch) for step in range(steps)]


def test_exponential_falls_by_gamma_at_each_epoch():
    values = rates(schedule="exponential", gamma=0.96, warmup=0)
    assert values == [0.96 ** (step // 10) for step in range(100)]


def test_exponential_falls_in_steps_of_several_epochs():
    values = rates(schedule="exponential", gamma=0.1, every=3, warmup=0)
    assert values == [0.1 ** (step // 30) for step in range(100)]


def test_steps_fall_after_the_epochs_that_the_recipe_names():
    values = rates(schedule="steps", gamma=0.1, drops=(3, 8), warmup=0)
    assert values == pytest.approx([1.0] * 30 + [0.1] * 50 + [0.01] * 20)


def test_warm_up_is_linear_from_its_start_to_the_full_rate():
    recipe = replace(
        RECIPE, lr=1.0, schedule="exponential", gamma=1.0, warmup=100, warmup_from=0.34
    )
    values = [training.learning_rate(recipe, step, 1000, 1000) for step in range(200)]
    assert values[0] == pytest.approx(0.34 + 0.66 / 100)
    assert values[99:] == pytest.approx([1.0] * 101)
    steps = [b - a for a, b in itertools.pairwise(values[:100])]
    assert steps == pytest.approx([0.66 / 100] * 99)


def test_cosine_ends_near_zero_and_passes_the_half_in_the_middle():
    values = rates(schedule="cosine", warmup=0)
    assert values[0] == 1 and values[50] == pytest.approx(0.5) and 0 < values[-1] < 1e-3
    assert all(b < a for a, b in itertools.pairwise(values))


def test_one_cycle_climbs_once_and_falls_once():
    values = rates(schedule="onecycle", warmup=0)
    top = values.index(max(values))
    assert top == 30 and values[top] == 1 and values[0] == pytest.approx(1 / 25)
    assert all(b > a for a, b in itertools.pairwise(values[: top + 1]))
    assert all(b < a for a, b in zip(values[top:], values[top + 1 :], strict=False))


# --- Sources ------------------------------------------------------------------


def batches_equal(a, b):
    return a.ids == b.ids and all(
        torch.equal(value, getattr(b, name))
        for name, value in vars(a).items()
        if isinstance(value, torch.Tensor)
    )


def test_a_stored_batch_depends_on_seed_and_step_alone():
    """Not on what was asked before, nor on how much is kept in memory."""
    kept = training.Stored(Patches(), (90.0, 100.0))
    expected = [kept.batch(step, 8, seed=3) for step in range(12)]
    unkept = training.Stored(Patches(), (90.0, 100.0), memory=0)
    for step in (11, 0, 7, 4, 4):
        assert batches_equal(unkept.batch(step, 8, seed=3), expected[step])
        assert batches_equal(kept.batch(step, 8, seed=3), expected[step])
    assert not batches_equal(kept.batch(0, 8, seed=4), expected[0])


def test_every_epoch_has_every_frame_once_though_the_batch_does_not_divide_it():
    source = training.Stored(Patches(40), 100.0)
    ids = [name for step in range(10) for name in source.batch(step, 12, seed=0).ids]
    for epoch in range(3):
        assert sorted(map(int, ids[40 * epoch : 40 * epoch + 40])) == list(range(40))
    assert ids[:40] != ids[40:80]


def test_kept_frames_are_read_once():
    data = Patches(40)
    source = training.Stored(data, 100.0)
    for step in range(15):
        source.batch(step, 8, seed=0)
    assert data.reads == 40


def test_memory_is_bounded():
    source = training.Stored(Patches(40), 100.0, memory=1000)
    for step in range(10):
        source.batch(step, 8, seed=0)
    assert 0 < source._bytes <= 1000


def test_a_kept_window_looks_the_same_as_a_fresh_one():
    """Same view of the same depth to half of 1/16 mm, in every pixel of the image."""
    data = Patches(20)
    fresh = prepare.batch(data.frames(range(20)), 100.0)
    kept = training.Stored(data, 100.0).crops(range(20))
    for name in ("camera", "centre", "cube", "joints", "mirror", "rotation", "aspect"):
        assert torch.equal(getattr(kept, name), getattr(fresh, name)), name
    views = [prepare.augment(crops, training.generator(0, "view", 0)) for crops in (fresh, kept)]
    for a, b in (fresh, kept), views:
        bound = (1 / 32) / (a.cube.min().item() / 2) + 1e-5
        assert (prepare.image(a, 32) - prepare.image(b, 32)).abs().max() <= bound


def test_frames_on_the_fly_depend_on_the_seeds_and_their_number_alone():
    """Whatever the batches, and never twice: frame 6 is the third of four from 4, and the last of
    seven.
    """
    source = training.OnTheFly("wide", frames=8, cube=(250.0, 300.0))
    batch = source.batch(1, 4, seed=2)
    alone = source.crops(range(6, 7), 2)
    row = batch.index(slice(2, 3))
    for name in ("joints", "centre", "camera", "mirror"):
        assert torch.equal(getattr(row, name), getattr(alone, name)), name
    views = [
        prepare.image(replace(crops, cube=torch.full((1,), 250.0)), 48) for crops in (row, alone)
    ]
    assert torch.equal(*views)
    assert row.ids == alone.ids and set(batch.cube.tolist()) <= {250.0, 300.0}
    again = training.OnTheFly("wide", frames=8, cube=(250.0, 300.0)).batch(1, 4, seed=2)
    assert batches_equal(batch, again)
    for other in (
        source.batch(1, 4, seed=3),
        source.batch(2, 4, seed=2),
        training.OnTheFly("wide", frames=8, cube=250.0, seed=1).batch(1, 4, seed=2),
    ):
        assert not torch.equal(labels(other), labels(batch))


@pytest.mark.parametrize("centre", ["mass", "true", "stored"])
def test_frames_on_the_fly_have_the_centre_that_is_asked_for(centre):
    """As far from the mean of the joints as its kind: not at all, some millimetres, within the
    hand.
    """
    crops = training.OnTheFly("msra_like", frames=4, cube=250.0, centre=centre).crops(range(4))
    away = (crops.centre - labels(crops).mean(1)).norm(dim=1)
    assert (away < {"mass": 150.0, "true": 1e-3, "stored": 60.0}[centre]).all()
    assert centre == "true" or (away > 0.01).all()


def test_the_first_epoch_on_the_fly_can_be_swept():
    source = training.OnTheFly("msra_like", frames=3, cube=250.0)
    swept = list(source.sweep(cube=200.0, batch=2))
    assert [len(crops) for crops in swept] == [2, 1]
    assert torch.equal(torch.cat([labels(c) for c in swept]), labels(source.crops(range(3))))
    assert all((c.cube == 200).all() for c in swept)


def test_a_subset_is_a_data_set():
    data = Patches(20)
    odd = Subset(data, torch.arange(20) % 2 == 1, "odd")
    assert len(odd) == 10 and odd[2].id == "5" and [f.id for f in odd.frames([0, 9])] == ["1", "19"]
    assert torch.equal(odd.joints(), data.joints()[1::2])
    assert (
        odd.protocol == {**data.protocol, "subset": "odd"} and odd.fingerprint == data.fingerprint
    )


def test_several_cubes_are_drawn_per_sample():
    crops = training.Stored(Patches(), (90.0, 100.0)).batch(0, 40)
    assert set(crops.cube.tolist()) == {90.0, 100.0}


def test_a_source_is_swept_in_order_and_scored_like_its_data_set():
    data = Patches(20)
    source = training.Stored(data, 100.0)
    ids = [name for crops in source.sweep(batch=8) for name in crops.ids]
    assert ids == [str(i) for i in range(20)]
    method = Toy()
    a, b = (evaluation.predict(method, frames, cube=100.0) for frames in (data, source))
    torch.testing.assert_close(a, b, atol=0.1, rtol=0)


@pytest.mark.parametrize("cube", [0.0, -5.0, (), (90.0, float("inf"))])
def test_a_cube_needs_a_side(cube):
    with pytest.raises(HandPoseError, match="cube"):
        training.Stored(Patches(), cube)


def test_seeds_of_different_purposes_do_not_meet():
    seen = {
        training.mix(seed, purpose, step)
        for seed in range(5)
        for purpose in ("order", "augment")
        for step in range(200)
    }
    assert len(seen) == 2000


def test_a_program_named_srun_changes_nothing(tmp_path, monkeypatch, caplog, recwarn, capfd):
    """On the login node of a cluster, Lightning warns that srun is there and is not used."""
    program = tmp_path / "bin" / "srun"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setenv("SLURM_NTASKS", "4")  # and in an interactive job there
    train(tmp_path / "run", replace(RECIPE, epochs=1))
    said = [*caplog.messages, *(str(one.message) for one in recwarn), *capfd.readouterr()]
    assert "srun" not in " ".join(said).lower()
