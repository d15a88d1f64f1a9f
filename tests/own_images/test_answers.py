"""From a frame to its hands: how they are found, what the measures say, and the command's files."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from handpose_lib import __main__ as command
from handpose_lib import synth
from handpose_lib.camera import depth_to_points, xyz_to_uvd
from handpose_lib.errors import HandPoseError
from handpose_lib.own_images import answers, finding, predictions, reliability, report, settings
from handpose_lib.real_hands import fitting
from handpose_lib.teaching import own_image


@pytest.fixture(scope="module")
def rendered():
    return synth.frames(range(4), seed=31, setup="msra", distribution="wide_view", subjects=[8])


@pytest.fixture(scope="module")
def answer(rendered):
    return answers.answer(rendered.frame(0), settings.check({}), 1.0)


# --- finding --------------------------------------------------------------------


@pytest.mark.parametrize("way", ["detector", "nearest", "point"])
def test_every_way_finds_a_free_hand(rendered, way):
    frame = rendered.frame(1)
    u, v = xyz_to_uvd(frame.centre, frame.camera)[:2].tolist()
    stated = {"point": (u, v)} if way == "point" else {"find": way}
    (found,) = finding.hands(frame, settings.check(stated), predictions.detector())
    # so near that the network's cube holds the hand
    assert (found.centre - rendered.joints[1].mean(0)).norm() < predictions.cube() / 4
    assert found.probability > 0.9


def test_a_point_chooses_among_several_hands(rendered):
    first, second = rendered.frame(1), rendered.frame(2)
    two = replace(first, depth=_beside(first, second))
    both = finding.hands(two, settings.check({"hands": 2}), predictions.detector())
    assert len(both) == 2 and (both[0].centre - both[1].centre).norm() > finding.APART
    points = depth_to_points(two.depth[None], two.camera)[0]
    for one in both:
        near = ((two.depth > 0) & ((points - one.centre).norm(dim=-1) < 60)).nonzero()
        row, column = near[len(near) // 2].tolist()
        (pointed,) = finding.hands(
            two, settings.check({"point": (column, row)}), predictions.detector()
        )
        assert (pointed.centre - one.centre).norm() < finding.APART


def _beside(first, second):
    """Return the image of two hands, one moved to the left and the other to the right."""
    width = first.depth.shape[1]
    images = []
    for frame, to in ((first, width // 4), (second, 3 * width // 4)):
        u = round(xyz_to_uvd(frame.centre, frame.camera)[0].item())
        moved = torch.zeros_like(frame.depth)
        shift = to - u
        source = frame.depth[:, max(0, -shift) : width - max(0, shift)]
        moved[:, max(0, shift) : max(0, shift) + source.shape[1]] = source
        half = torch.zeros_like(moved)
        side = slice(0, width // 2) if to < width // 2 else slice(width // 2, width)
        half[:, side] = moved[:, side]
        images.append(half)
    return images[0] + images[1]


def test_the_size_of_a_hand_follows_the_unit(rendered):
    frame = rendered.frame(1)
    scale = [
        finding.scale_of(
            replace(frame, depth=unit * frame.depth), unit * frame.centre, predictions.detector()
        )
        for unit in (0.5, 1.0, 2.0)
    ]
    assert 1 / finding.MISFIT < scale[1] < finding.MISFIT
    assert scale[0] < scale[1] / 1.5 and scale[2] > scale[1] * 1.5


@pytest.mark.parametrize(
    "unit, scale, likely",
    [
        (1, 1.2, None),
        (1, 8, 0.125),
        (1, 10, 0.1),
        (0.125, 0.125, 1),
        (1000, 1000, 1),
        (1, 1 / 30, None),
    ],
)
def test_a_unit_is_named_only_if_it_explains_the_size(unit, scale, likely):
    assert finding.likely_unit(unit, scale) == likely


@pytest.mark.parametrize("factor, says", [(0.001, "is the unit m?"), (1000, "0.001 times")])
def test_metres_taken_for_millimetres_are_noticed(rendered, factor, says):
    frame = rendered.frame(1)
    with pytest.raises(HandPoseError, match="all that is measured is") as error:
        finding.in_range(replace(frame, depth=frame.depth * factor))
    assert says in str(error.value)


def test_a_wall_without_a_hand_is_refused(rendered):
    frame = rendered.frame(1)
    wall = replace(frame, depth=torch.full_like(frame.depth, 900.0), id="wall")
    with pytest.raises(HandPoseError, match=r"image wall: the detector finds no hand.*point"):
        finding.hands(wall, settings.check({}), predictions.detector())


@pytest.mark.parametrize("point", [(500, 20), (1, 1)])
def test_a_point_beside_every_hand_is_refused(rendered, point):
    frame = rendered.frame(1)
    frame = replace(frame, depth=frame.depth.clone())
    frame.depth[:9, :9] = 0
    with pytest.raises(HandPoseError, match="parameter point: given"):
        finding.hands(frame, settings.check({"point": point}), predictions.detector())


# --- answers --------------------------------------------------------------------


def test_the_answer_is_the_mean_of_turned_views_or_the_hand_fitted_there(answer, rendered):
    (hand,) = answer.hands
    mean = hand.views.mean(0)
    kept, remaining = predictions.fitted(mean, rendered.frame(0), hand.side)
    assert torch.equal(hand.joints, kept)
    assert torch.equal(kept, mean) == (remaining > fitting.ACCEPTED_MM)
    assert hand.measures["disagreement_mm"] == pytest.approx(hand.doubt.mean().item())
    # better than a guess: the true joints vary by several centimetres about their mean
    assert (hand.joints - rendered.joints[0]).norm(dim=-1).mean() < 30


def test_the_hand_whose_views_agree_is_taken(rendered):
    """Of an image and its mirror image the sides are swapped, and nothing else."""
    frame = rendered.frame(0)
    camera = replace(frame.camera, u0=frame.camera.width - 1 - frame.camera.u0)
    centre = frame.centre * torch.tensor([-1.0, 1, 1])
    mirrored = replace(frame, depth=frame.depth.flip(1), camera=camera, centre=centre)
    doubt = {
        (name, side): predictions.disagreement(predictions.look(one, one.centre, side))
        .mean()
        .item()
        for name, one in (("as it is", frame), ("mirrored", mirrored))
        for side in ("right", "left")
    }
    for side, other in (("right", "left"), ("left", "right")):
        assert doubt["as it is", side] == pytest.approx(doubt["mirrored", other], abs=0.5)
    assert doubt["as it is", "right"] < doubt["as it is", "left"]


def test_true_joints_are_not_unusual(rendered):
    for n in range(len(rendered)):
        measures = predictions.measure(rendered.joints[n], rendered.frame(n), rendered.centre[n])
        for name in ("on_hand", "covered", "median_to_surface_mm", "in_front"):
            low, high = reliability.limits()[name]
            assert low <= measures[name] <= high, f"frame {n}: {name}"


def test_wrong_joints_are_unusual(answer):
    hand = answer.hands[0]
    moved = hand.joints - torch.tensor([120.0, 0.0, 60.0])
    measures = hand.measures | predictions.measure(moved, answer.frame, hand.found.centre)
    told = reliability.unusual(measures)
    assert {"on_hand", "covered", "median_to_surface_mm"} <= set(told)
    assert set(told) > set(reliability.unusual(hand.measures))


def test_every_unusual_measure_has_a_sentence_of_its_own(answer):
    (hand,) = answer.hands
    names = (*reliability.WORSE, "scale", "remaining_mm", "at_border")
    bad = dict.fromkeys(reliability.WORSE, 1e3) | {"scale": 2.0, "at_border": 1.0}
    bad |= {name: 0.0 for name, worse in reliability.WORSE.items() if worse == "below"}
    bad["remaining_mm"] = fitting.ACCEPTED_MM + 1
    assert set(reliability.unusual(bad)) == set(names)
    wrong = replace(hand, decided=True, measures=hand.measures | bad)
    says = answers.sentences(wrong, 1000.0)
    assert len(set(says)) == len(names) and all(text.endswith(".") for text in says)
    assert "2.0 times too large" in " ".join(says)


def test_what_is_said_about_trust_comes_from_the_records():
    known = predictions.network().record["held_out"]
    assert f"{known['all']['mean_mm']:.1f} mm" in answers.trust()
    assert f"{known['real']['with_fits']['mean_mm']:.1f} mm" in answers.trust()
    rate = reliability.rates()
    assert f"{rate.quiet_off:.0%} of these are off" in answers.trust()
    assert f"{rate.false} get an answer without a remark" in answers.trust()
    assert "not been measured" in answers.trust() and "Do not use" in answers.trust()


def test_the_fitted_hand_is_the_answer_where_little_remains(answer):
    (hand,) = answer.hands
    plain = hand.views.mean(0)
    joints, remaining = predictions.fitted(plain, answer.frame, hand.side)
    assert torch.equal(joints, hand.joints) and remaining == hand.measures["remaining_mm"]
    assert torch.equal(joints, plain) == (remaining > fitting.ACCEPTED_MM)
    # Far from every point nothing can be explained: the joints stay as they are.
    lost = plain + torch.tensor([0.0, 0.0, 150.0])
    kept, remaining = predictions.fitted(lost, answer.frame, hand.side)
    assert torch.equal(kept, lost) and remaining > fitting.ACCEPTED_MM


def test_tables_agree_with_the_joints(answer, tmp_path):
    (hand,) = answer.hands
    table, _ = report.write([answer], tmp_path / "new")
    assert table.read_text(encoding="utf-8") == report.csv([answer])
    rows = list(csv.DictReader(report.csv([answer]).splitlines()))
    assert [row["joint"] for row in rows] == list(predictions.skeleton().joints)
    xyz = torch.tensor([[float(row[f"{axis}_mm"]) for axis in "xyz"] for row in rows])
    assert (xyz - hand.joints).abs().max() < 0.01
    value = report.json_value(answer)
    json.dumps(value, allow_nan=False)
    assert value["hands"][0]["joints"][3]["xyz_mm"] == pytest.approx(xyz[3].tolist(), abs=0.01)


def test_the_picker_names_pixels_of_the_image(rendered):
    page = own_image.picker(rendered.frame(0)).data
    assert isinstance(page, str) and "* 320)" in page and "* 240)" in page


# --- the command ----------------------------------------------------------------

STATED = ["--fx", "241.42", "--u0", "160", "--v0", "120"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, rendered):
    folder = tmp_path_factory.mktemp("bilder ü")
    np.save(folder / "hand.npy", rendered.depth[0].numpy() / 1000)
    (folder / "broken.png").write_bytes(b"\x89PNG")
    (folder / "notes.txt").write_text("no image")
    return folder


def test_one_line_writes_the_files_and_says_what_to_think_of_them(folder, tmp_path, capsys):
    out = tmp_path / "new" / "out"
    code = command.main([str(folder), *STATED, "--hand", "right", "--out", str(out)])
    said = capsys.readouterr()
    assert code == 1 and "broken.png: not a readable image" in said.err
    assert "assumed unit: 1000 mm" in said.out and answers.trust() in said.out
    assert sorted(path.name for path in out.iterdir()) == [
        *(f"hand_hand.{kind}" for kind in ("csv", "html", "json", "png")),
        "plotly.min.js",
    ]
    assert json.loads((out / "hand_hand.json").read_text())["hands"][0]["side"] == "right"
    assert (out / "hand_hand.png").read_bytes().startswith(b"\x89PNG")
    assert "plotly.min.js" in (out / "hand_hand.html").read_text()


@pytest.mark.parametrize(
    "arguments, says",
    [
        ([], "--help"),
        (["hand.npy"], "parameter camera: none given"),
        (["hand.npy", "--camera", "d453"], "did you mean"),
        (["hand.npy", *STATED, "--unit", "0,1"], "parameter unit: given '0,1'"),
        (["missing.png", *STATED], "there is nothing at"),
        (["hand.npy", *STATED, "--point", "a", "2"], "parameter point"),
    ],
)
def test_wrong_parameters_end_with_code_2_before_any_file(
    folder, tmp_path, monkeypatch, capsys, arguments, says
):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PWD", str(folder))
    assert command.main([*arguments, *(["--out", str(tmp_path / "out")] if arguments else [])]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_cameras_are_listed_with_their_sources(capsys):
    assert command.main(["--cameras"]) == 0
    said = capsys.readouterr().out
    assert said.count("source: ") == len(settings.PRESETS)
