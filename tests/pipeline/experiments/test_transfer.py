"""One switch at a time: what is turned and that nothing else is, what is trained again, what
follows; the kept record and its code.
"""

import ast
import copy
import json
from dataclasses import replace
from itertools import combinations
from typing import Any

import matplotlib as mpl
import nbformat
import numpy as np
import pytest
from PIL import Image

from handpose_lib import datasets, paths, synth
from handpose_lib.errors import HandPoseError
from handpose_lib.evaluation import plausibility
from handpose_lib.io import storage
from handpose_lib.results import records
from handpose_lib.skeleton import get
from pipeline.experiments import replay, transfer

FEW = transfer.EPOCHS * transfer.BATCH


# --- What is turned -----------------------------------------------------------


EVERY = transfer.settings(
    {"together": ["views", "mass", "wide_augmentation"], "promises": ["views", "wide", "together"]}
)


@pytest.mark.parametrize("name", EVERY)
def test_a_setting_differs_from_the_base_in_what_it_names(name):
    setting = EVERY[name]
    base, turned = vars(transfer.BASE), vars(setting.distribution)
    assert {field for field in base if base[field] != turned[field]} == set(setting.fields)
    recipes = [vars(transfer.recipe(one, FEW)) for one in (transfer.BASES["base"], setting)]
    assert {field for field in recipes[0] if recipes[0][field] != recipes[1][field]} == (
        {"augmentation"} if setting.augmentation else set()
    )
    before, after = (one["augmentation"] for one in recipes)
    assert set(before) == set(after) and {
        field for field in before if before[field] != after[field]
    } == set(setting.augmentation)


def test_every_switch_turns_something_of_one_kind():
    for setting in transfer.SWITCHES.values():
        assert (
            sum(map(bool, (setting.fields, setting.source, setting.augmentation))) == 1
            and setting.seed == 0
        )
    assert len({setting.seed for setting in transfer.BASES.values()}) == 3


def test_the_switches_towards_wide_are_all_of_it():
    assert transfer.WHOLE.distribution == synth.WIDE
    towards = {
        field
        for setting in transfer.SWITCHES.values()
        for field, value in setting.fields.items()
        if value == getattr(synth.WIDE, field)
    }
    assert towards == set(transfer.WHOLE.fields)


def test_switches_of_two_knobs_do_not_contradict_each_other():
    for one, other in combinations(transfer.SWITCHES.values(), 2):
        if one.factor != other.factor:
            assert not any(
                set(getattr(one, kind)) & set(getattr(other, kind))
                for kind in ("fields", "source", "augmentation")
            )


def test_together_turns_all_of_them():
    setting = EVERY["together"]
    assert setting.fields == transfer.SWITCHES["views"].fields and setting.source == {
        "centre": "mass"
    }
    assert setting.augmentation == transfer.SWITCHES["wide_augmentation"].augmentation
    assert all(
        "together" not in transfer.settings({"together": helping, "promises": []})
        for helping in ([], ["views"])
    ), "one alone was trained"


@pytest.mark.parametrize("name", ["views", "wide", "together"])
def test_what_promises_something_is_trained_again_with_other_seeds(name):
    again = [EVERY[other] for other in transfer.further(name)]
    assert [replace(setting, seed=0) for setting in again] == [EVERY[name]] * len(again) and EVERY[
        name
    ].seed == 0
    assert (
        len({setting.seed for setting in [EVERY[name], *again]})
        == 1 + len(again)
        == len(transfer.BASES)
    )
    assert len(EVERY) == len(transfer.settings()) + 1 + 3 * len(again)


# --- What is trained, and what is not repeated --------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder with three rendered frames where real ones are looked for."""
    root = tmp_path_factory.mktemp("data")
    given = synth.frames(range(3), 5, "sr305", synth.MSRA_LIKE, subjects=[8])
    folder = root / "real_frames" / "sr305" / "20210101-000000"
    folder.mkdir(parents=True)
    for number, depth in enumerate(given.depth):
        Image.fromarray((depth / 0.125).round().numpy().astype(np.uint16)).save(
            folder / f"{number}.png"
        )
    return root


@pytest.fixture
def real(data, monkeypatch):
    monkeypatch.setenv("HANDPOSE_DATA", str(data))
    return datasets.open("sr305")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(transfer, "HELD_OUT", 4)
    transfer.held_out.cache_clear()
    yield
    transfer.held_out.cache_clear()


@pytest.fixture(scope="module")
def made(data, tmp_path_factory):
    """The base, trained on a few frames: (folder of the trainings, result)."""
    work = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer, "HELD_OUT", 4)
        transfer.held_out.cache_clear()
        result = transfer.trained(
            "base",
            transfer.BASES["base"],
            FEW,
            work,
            datasets.open("sr305", data / "real_frames" / "sr305"),
        )
    return work, result


@pytest.fixture
def nothing_is_trained(monkeypatch):
    def fit(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(transfer.training, "fit", fit)


def test_a_finished_training_is_not_made_again(made, real, nothing_is_trained):
    work, result = made
    assert transfer.trained("base", transfer.BASES["base"], FEW, work, real) == result
    assert not (work / "base" / "checkpoint").exists()


def test_what_a_result_holds(made, real):
    _, result = made
    assert [entry["step"] for entry in result["curve"]] == [*range(1, transfer.EPOCHS + 1)]
    for measure in transfer.MEASURES:
        assert len(result["real"][measure].split()) == len(real)
        assert all(
            len(result["synthetic"][name][measure].split()) == 4 for name in ("wide_view", "wide")
        )
    assert transfer.hands(result["real"]["joints_mm"]).shape == (3, 21, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"frames": 2 * FEW},
        {"setting": transfer.SWITCHES["left"]},
        {"setting": transfer.BASES["base_1"]},
    ],
)
def test_another_training_is_made(made, real, nothing_is_trained, change):
    setting, frames = change.get("setting", transfer.BASES["base"]), change.get("frames", FEW)
    with pytest.raises(AssertionError, match="trained again"):
        transfer.trained("base", setting, frames, made[0], real)


def test_a_result_of_other_code_is_made_again(made, real, monkeypatch, nothing_is_trained):
    monkeypatch.setattr(transfer, "code", lambda: "other")
    with pytest.raises(AssertionError, match="trained again"):
        transfer.trained("base", transfer.BASES["base"], FEW, made[0], real)


def test_what_an_earlier_script_judged_is_judged_again_and_not_trained(
    made, real, tmp_path, nothing_is_trained
):
    work, result = made
    folder = tmp_path / "base"
    storage.write_tensors(
        folder / "weights.safetensors", storage.read_tensors(work / "base" / "weights.safetensors")
    )
    storage.write_json(
        folder / "result.json", {**result, "judged_by": "earlier", "real": {}, "synthetic": {}}
    )
    assert transfer.trained("base", transfer.BASES["base"], FEW, tmp_path, real) == result


def test_an_interrupted_training_goes_on(made, real, tmp_path):
    network, source, chosen = transfer.start(transfer.BASES["base"], FEW)
    transfer.training.fit(
        network, source, chosen, tmp_path / "base", seed=0, device="cpu", until=4, progress=False
    )
    again = transfer.trained("base", transfer.BASES["base"], FEW, tmp_path, real)
    assert {**again, "cpu_seconds": 0} == {**made[1], "cpu_seconds": 0}


def test_measures_are_those_of_the_joints_that_are_kept(made, real):
    known, frames = made[1]["real"], real.frames(range(3))
    cube = transfer.recipe(transfer.BASES["base"], FEW).cube_test
    assert (
        transfer.measured(
            transfer.hands(known["joints_mm"]), frames, transfer.outlines(frames, cube), cube
        )
        == known
    )


# --- What is refused ----------------------------------------------------------


def test_without_real_frames_nothing_begins(tmp_path, monkeypatch, nothing_is_trained):
    monkeypatch.setenv("HANDPOSE_DATA", str(tmp_path))
    with pytest.raises(HandPoseError, match="sr305 needs .*fetch_sr305"):
        transfer.main(["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "work").exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--only", "viws"], "unknown setting 'viws'"),
        (["--frames", str(FEW - 1)], f"{FEW - 1} frames: accepted are at least {FEW}"),
    ],
)
def test_bad_arguments_get_one_error(real, tmp_path, arguments, message, nothing_is_trained):
    with pytest.raises(HandPoseError, match=message):
        transfer.main([*arguments, "--work", str(tmp_path), "--out", str(tmp_path)])


# --- What follows -------------------------------------------------------------


def invented(real: dict[str, tuple[float, float, float]]):
    """Results of two frames with these means."""

    def line(mean, apart, decimals):
        return f"{mean - apart:.{decimals}f} {mean + apart:.{decimals}f}"

    seeds = {"base": (0.80, 10.0, 0.50), "base_1": (0.82, 10.4, 0.53), "base_2": (0.84, 10.8, 0.50)}
    return {
        name: {
            "real": {
                "joints_mm": ["", ""],
                "on_hand": line(on, 0.1, 3),
                "median_to_surface_mm": line(far, 1, 1),
                "covered": line(covered, 0.05, 3),
            }
        }
        for name, (on, far, covered) in {**seeds, **real}.items()
    }


def test_a_step_is_as_long_as_the_seeds_are_apart():
    said = transfer.summary(invented({"views": (0.86, 9.6, 0.54)}))
    assert said["base"] == pytest.approx(
        {"on_hand": 0.82, "median_to_surface_mm": 10.4, "covered": 0.51}
    )
    assert said["apart"] == pytest.approx(
        {"on_hand": 0.04, "median_to_surface_mm": 0.8, "covered": 0.03}
    )
    assert said["steps"]["views"] == pytest.approx(
        {"on_hand": 1.0, "median_to_surface_mm": 1.0, "covered": 1.0}
    ) and said["votes"] == {"views": ["views"]}


def again(real: dict[str, tuple[float, float, float]]):
    """The same with further seeds, which find what the first has found."""
    return invented(
        {
            **real,
            **{other: means for name, means in real.items() for other in transfer.further(name)},
        }
    )


@pytest.mark.parametrize(
    "means, helps",
    [
        ((0.87, 10.4, 0.51), True),
        ((0.85, 10.0, 0.52), False),
        ((0.82, 9.0, 0.51), True),
        ((0.82, 10.4, 0.56), True),
        ((0.90, 12.0, 0.60), False),
        ((0.90, 11.1, 0.60), True),
        ((0.70, 10.4, 0.51), False),
    ],
)
def test_what_helps(means, helps):
    said = transfer.summary(again({"views": means}))
    assert said["promises"] == said["helps"] == ["views"] * helps and said["best"] == (
        "views" if helps else None
    )


def test_a_first_training_promises_and_has_no_vote():
    good, bad = (0.90, 10.4, 0.51), (0.82, 10.4, 0.51)
    said = transfer.summary(invented({"views": good}))
    assert said["promises"] == ["views"] and said["helps"] == [] and said["best"] is None, (
        "nothing helps by the training that chose it"
    )
    said = transfer.summary(invented({"views": good, "views_1": bad, "views_2": bad}))
    assert (
        said["promises"] == ["views"]
        and said["helps"] == []
        and said["votes"]["views"] == ["views_1", "views_2"]
    )
    assert said["first_steps"]["views"]["on_hand"] == pytest.approx(2) and said["steps"]["views"][
        "on_hand"
    ] == pytest.approx(0)
    said = transfer.summary(invented({"views": bad, "views_1": good, "views_2": good}))
    assert said["promises"] == said["helps"] == [], "nor does what never promised anything"


def test_further_seeds_are_averaged():
    said = transfer.summary(
        invented(
            {
                "views": (0.90, 10.4, 0.51),
                "views_1": (0.90, 10.4, 0.51),
                "views_2": (0.84, 10.4, 0.51),
            }
        )
    )
    assert said["steps"]["views"]["on_hand"] == pytest.approx(1.25) and said["helps"] == ["views"]


def test_together_takes_the_best_of_each_factor():
    said = transfer.summary(
        again(
            {
                "left": (0.87, 10.4, 0.51),
                "long_forearm": (0.87, 10.4, 0.51),
                "no_forearm": (0.90, 10.4, 0.51),
                "views": (0.82, 10.4, 0.51),
                "wide": (0.95, 10.4, 0.51),
            }
        )
    )
    assert said["together"] == [
        "no_forearm",
        "left",
    ], "in the order of the switches, without all of WIDE"
    assert (
        said["helps"] == ["left", "long_forearm", "no_forearm", "wide"] and said["best"] == "wide"
    )


def test_seeds_that_agree_are_apart_by_what_can_be_told():
    same = invented({"views": (0.80, 10.0, 0.50)})
    same["base_1"] = same["base_2"] = same["base"]
    said = transfer.summary(same)
    assert said["apart"] == pytest.approx(
        {"on_hand": 1 / 42, "median_to_surface_mm": 0.1, "covered": 0.001}
    )
    assert said["helps"] == []


def lie(work, real, made, changed=()):
    """Results of all settings as if each had been trained: those of the base, `changed` ones with
    another measure.
    """
    base, weights = made[1], storage.read_tensors(made[0] / "base" / "weights.safetensors")
    for name, setting in transfer.settings(
        {
            "together": [name for name in transfer.SWITCHES if name in changed],
            "promises": [*changed, *(["together"] if len(changed) > 1 else [])],
        }
    ).items():
        result = {
            **copy.deepcopy(base),
            "decided_by": transfer.decided_by(setting, FEW, real),
            "factor": setting.factor,
            "text": setting.text,
        }
        if any(name in (one, *transfer.further(one)) for one in changed):
            result["real"]["covered"] = " ".join(["1.000"] * 3)
        storage.write_tensors(work / name / "weights.safetensors", weights)
        storage.write_json(work / name / "result.json", result)


def test_the_record_of_trainings_that_help_none_is_replayed(made, real, tmp_path):
    lie(tmp_path / "work", real, made)
    arguments = ["--frames", str(FEW), "--out", str(tmp_path / "out")]
    assert transfer.main([*arguments, "--work", str(tmp_path / "work")]) == 0
    record = records.load(tmp_path / "out", "transfer")
    assert set(record["settings"]) == set(transfer.settings()) and record["summary"]["best"] is None
    assert record["summary"] == json.loads(json.dumps(transfer.summary(record["settings"])))
    assert record["weights"] == {} and not (tmp_path / "out" / "weights.safetensors").exists()
    code = record["code"]
    records.write(records.validated({**record, "code": {**code, "digest": "0"}}), tmp_path / "out")
    replay.replay(records.load(tmp_path / "out"))
    assert records.load(tmp_path / "out")["code"] == {
        **code,
        "replayed": {"epochs": 1, "instead_of": "0"},
    }
    remembered = replay.remembered(record, tmp_path)
    storage.write_json(remembered, replay.start(record))
    replay.replay(records.load(tmp_path / "out"), against=tmp_path)
    assert "other machine" in records.load(tmp_path / "out")["code"]["replayed"]["against"]
    storage.write_json(remembered, {"curve": {}})
    with pytest.raises(HandPoseError, match="base: first losses"):
        replay.replay(records.load(tmp_path / "out"), against=tmp_path)
    for place, value, message in (
        (("settings", "left", "real", "covered"), "0.1 0.1 0.1", "left: measures"),
        (("references", "mean_pose", "on_hand"), "0.1 0.1 0.1", "mean_pose: measures"),
        (("summary", "best"), "left", "summary"),
        (("settings", "base", "curve"), [{}], "base: first losses"),
        (("real", "fingerprint"), "0", "frames"),
    ):
        forged = copy.deepcopy(record)
        inner = forged
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
        records.write(forged, tmp_path / "out")
        with pytest.raises(HandPoseError, match=message):
            replay.replay(records.load(tmp_path / "out"))
        assert records.load(tmp_path / "out") == forged


def test_the_weights_of_what_helps_most_are_kept(made, real, tmp_path, nothing_is_trained):
    lie(tmp_path / "work", real, made, ["left", "views"])
    assert (
        transfer.main(
            ["--frames", str(FEW), "--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")]
        )
        == 0
    )
    record = records.load(tmp_path / "out", "transfer")
    assert record["summary"]["together"] == ["views", "left"] and record["summary"]["best"] in (
        "views",
        "left",
    )
    assert (
        {"together", "views_1", "views_2", "left_1", "left_2"}
        < set(record["settings"])
        == set(transfer.settings(record["summary"]))
    )
    assert record["weights"] == {
        f"{record['summary']['best']}_1": transfer.sha(tmp_path / "out" / "weights.safetensors")
    }


def test_some_settings_alone_make_no_record(made, real, tmp_path, nothing_is_trained, capsys):
    lie(tmp_path / "work", real, made)
    for name in ("left", "wide"):
        (tmp_path / "work" / name / "result.json").unlink()
    assert (
        transfer.main(
            [
                "--only",
                "base",
                "views",
                "--frames",
                str(FEW),
                "--out",
                str(tmp_path / "out"),
                "--work",
                str(tmp_path / "work"),
            ]
        )
        == 0
    )
    assert (
        "no record yet: left, wide missing" in capsys.readouterr().out
        and not (tmp_path / "out").exists()
    )


# --- The record that the chapter reads ----------------------------------------


@pytest.fixture(scope="module")
def record():
    return records.load(paths.records() / "transfer", "transfer")


def test_the_kept_record_is_of_this_code(record):
    assert not records.is_stale(record)
    assert record["frames"] == transfer.FRAMES
    plain = json.loads(json.dumps(vars(transfer.recipe(transfer.BASES["base"], transfer.FRAMES))))
    assert {name: plain.get(name) for name in record["recipe"]} == record["recipe"]


def test_the_kept_record_is_whole(record):
    every = transfer.settings(record["summary"])
    assert set(record["settings"]) == set(every)
    for name, known in record["settings"].items():
        setting = every[name]
        assert {
            key: known[key] for key in ("fields", "source", "augmentation", "seed", "factor")
        } == json.loads(
            json.dumps(
                {
                    **{
                        key: getattr(setting, key)
                        for key in ("fields", "source", "augmentation", "seed", "factor")
                    }
                }
            )
        )
        assert len(known["curve"]) == transfer.EPOCHS
        for where, count in (
            (known["real"], record["real"]["frames"]),
            *(
                (known["synthetic"][name], record["synthetic"]["frames"])
                for name in ("wide_view", "wide")
            ),
        ):
            assert all(len(where[measure].split()) == count for measure in transfer.MEASURES)
    assert len(record["real"]["ids"]) == record["real"]["frames"]


def test_what_follows_from_the_kept_record_is_computed_again(record):
    assert json.loads(json.dumps(transfer.summary(record["settings"]))) == record["summary"]
    for known in [
        *(known["real"] for known in record["settings"].values()),
        *(record["references"][name] for name in ("mean_pose", "another_frame", "kept")),
    ]:
        lengths = plausibility.bone_lengths(transfer.hands(known["joints_mm"]), get("msra21"))
        assert known["bone_length_variation"] == pytest.approx(
            (lengths.std(0) / lengths.mean(0)).mean().item(), abs=1e-4
        )


def test_the_kept_weights_are_those_of_the_record(record):
    said = record["summary"]
    assert set(record["weights"]) == ({said["votes"][said["best"]][0]} if said["best"] else set())
    for digest in record["weights"].values():
        weights = paths.records() / "transfer" / "weights.safetensors"
        assert transfer.sha(weights) == digest
        network = transfer.start(transfer.BASES["base"], record["frames"])[0]
        network.load_state_dict(storage.read_tensors(weights))


def page(root, monkeypatch, cells):
    """What some cells of the chapter show, the last of them, with the records of `root`."""
    monkeypatch.setattr(paths, "records", lambda: root)
    sources = {
        cell.id: cell.source
        for cell in nbformat.read(
            paths.project() / "book" / "results" / "transfer.ipynb", as_version=4
        ).cells
    }
    names: dict[str, Any] = {}
    value: Any = None
    with mpl.rc_context():
        for cell in cells:
            tree = ast.parse(sources[cell])
            shown = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, cell, "exec"), names)
            if isinstance(shown, ast.Expr):
                value = eval(compile(ast.Expression(shown.value), cell, "eval"), names)
    return value.data


def test_a_changed_record_changes_the_page(record, tmp_path, monkeypatch):
    cells = ["imports", "record", "effects", "solution-helps", "switches"]
    changed = copy.deepcopy(record)
    changed["settings"]["left"]["real"]["on_hand"] = " ".join(["0.123"] * record["real"]["frames"])
    changed["summary"] = json.loads(json.dumps(transfer.summary(changed["settings"])))
    shown = []
    for number, one in enumerate((record, changed)):
        storage.write_json(tmp_path / str(number) / "transfer" / "record.json", one)
        shown.append(page(tmp_path / str(number), monkeypatch, cells))
    before, after = (
        {line.split(" | ")[0]: line for line in text.splitlines() if line.startswith("| ")}
        for text in shown
    )
    assert {name for name in before if before[name] != after[name]} == {"| left"}


def test_code_that_changed_is_marked_on_the_page(record, tmp_path, monkeypatch):
    storage.write_json(
        tmp_path / "transfer" / "record.json", {**record, "code": {**record["code"], "digest": "0"}}
    )
    assert "earlier code" in page(tmp_path, monkeypatch, ["imports", "record"])
