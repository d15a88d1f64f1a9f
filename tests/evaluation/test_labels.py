"""Labels by hand: clicks at the true pixels return the true joints, and files are read strictly."""

import json
import math
from dataclasses import replace
from itertools import combinations

import pytest
import torch

from handpose_lib import datasets, paths, synth
from handpose_lib.camera import xyz_to_uvd
from handpose_lib.dataset_specs import SPECS
from handpose_lib.errors import DataError, HandPoseError
from handpose_lib.evaluation import labels
from handpose_lib.evaluation.labels import SKELETON, Joints, Label, Labels

CLEAN = replace(
    synth.DISTRIBUTIONS["wide_view"],
    sensors={"ideal": 1.0},
    holes=0.0,
    left=0.5,
    in_plane=(-180.0, 180.0),
    yaw=(-180.0, 180.0),
)
"""Both hands from all sides, cut out without noise."""
COMMITTED = sorted((paths.project() / "book" / "tables" / "labels").glob("*.json"))
COUNT = 14
FINGER_MM = 15.0
"""About the width of a finger: whoever labels the wrong finger is off by more."""
VISIBLE = 1.8
"""A joint is visible if no surface lies more than this many radii in front of it: its own skin is
closer, and another finger in front is farther.
"""


def clicks(rendered, row):
    """Labels at the true pixels of the visible joints of a frame."""
    frame = rendered.frame(row)
    uvd = xyz_to_uvd(rendered.joints[row], rendered.camera)
    radii = rendered.posed.spheres[row, :, 3].median()
    found = {}
    for joint, (u, v, depth) in zip(SKELETON.joints, uvd.tolist()):
        column, line = round(u), round(v)
        if not (0 <= column < rendered.camera.width and 0 <= line < rendered.camera.height):
            continue
        skin = rendered.hand_depth[row, line, column].item()
        if skin > depth - VISIBLE * radii:
            found[joint] = Label(u, v)
    return frame, found


@pytest.fixture(scope="module")
def clicked():
    """Synthetic frames with clicks at the true pixels of their visible joints, and true joints."""
    rendered = synth.frames(range(COUNT), 5, "sr305", CLEAN)
    pairs = [clicks(rendered, row) for row in range(COUNT)]
    frames = [frame for frame, _ in pairs]
    marks = Labels("synthetic", "truth", {frame.id: found for frame, found in pairs})
    return frames, marks, rendered.joints


@pytest.fixture(scope="module")
def placed(clicked):
    frames, marks, _ = clicked
    return labels.joints(marks, frames)


def test_clicks_at_the_true_pixels_return_the_true_joints(clicked, placed):
    truth = clicked[2]
    missed = (placed.xyz - truth).norm(dim=-1)[placed.known]
    assert len(missed) > 10 * COUNT
    assert missed.median() < 1.0
    assert missed.quantile(0.9) < 5.0
    assert placed.size == pytest.approx(1.0, abs=0.1)


def test_every_level_of_the_fingers_is_within_2_mm(clicked, placed):
    missed = (placed.xyz - clicked[2]).norm(dim=-1)
    for level in ("wrist", "mcp", "pip", "dip", "tip"):
        members = [j for j, joint in enumerate(SKELETON.joints) if joint.endswith(level)]
        assert missed[:, members][placed.known[:, members]].median() < 2.0, level


def test_labels_stay_on_the_rays_of_their_pixels(clicked, placed):
    frames, marks, _ = clicked
    for row, frame in enumerate(frames):
        uv = xyz_to_uvd(placed.xyz[row][placed.known[row]], frame.camera)[:, :2]
        said = [(m.u, m.v) for j in SKELETON.joints if (m := marks.frames[frame.id].get(j))]
        assert torch.allclose(uv, torch.tensor(said), atol=1e-2)


def test_a_joint_inside_is_found_by_the_lengths_of_its_bones(clicked):
    """A joint between two seen ones is as far from them as the average bones are long."""
    frames, marks, truth = clicked
    inside = {}
    for name, found in marks.frames.items():
        inside[name] = dict(found)
        for finger in ("index", "middle", "ring", "little"):
            chain = [f"{finger} {level}" for level in ("mcp", "pip", "dip")]
            if all(joint in found for joint in chain):
                inside[name][chain[1]] = replace(found[chain[1]], kind="inside")
    placed = labels.joints(Labels("synthetic", "inside", inside), frames, 1.0)
    chosen = torch.tensor(
        [
            [j in inside[f.id] and inside[f.id][j].kind == "inside" for j in SKELETON.joints]
            for f in frames
        ]
    )
    missed = (placed.xyz - truth).norm(dim=-1)[chosen]
    assert len(missed) > COUNT / 2 and missed.median() < 6.0


def test_holes_smaller_than_the_joint_do_not_matter(clicked):
    frames, marks, truth = clicked
    holed = []
    for frame in frames:
        depth = frame.depth.clone()
        for mark in marks.frames[frame.id].values():
            depth[round(mark.v), round(mark.u)] = 0
        holed.append(replace(frame, depth=depth))
    placed = labels.joints(marks, holed, 1.0)
    missed = (placed.xyz - truth).norm(dim=-1)[placed.known]
    assert missed.median() < 1.0


def test_the_size_of_the_hand_follows_from_the_labels(clicked):
    """A camera with k times the focal length at k times the depth sees a hand k times as large."""
    frames, marks, _ = clicked
    few = Labels("synthetic", "truth", dict([*marks.frames.items()][:4]))
    larger = [replace(f, depth=1.25 * f.depth, joints=None, centre=None) for f in frames]
    ratio = labels.hand_size(few, larger) / labels.hand_size(few, frames)
    assert ratio == pytest.approx(1.25, rel=0.02)


# --- errors of labels ---------------------------------------------------------


def test_labels_that_cannot_be_placed_are_refused(clicked):
    frames, _, _ = clicked
    frame = frames[0]

    def place(**marks):
        named = {name.replace("_", " "): mark for name, mark in marks.items()}
        return labels.joints(Labels("s", "x", {frame.id: named}), [frame])

    with pytest.raises(DataError, match="outside the image"):
        place(wrist=Label(-1, 5))
    empty = replace(frame, depth=torch.zeros_like(frame.depth))
    empty.depth[0, 0] = 500.0
    with pytest.raises(DataError, match="no surface is measured"):
        labels.joints(Labels("s", "x", {frame.id: {"wrist": Label(300, 200)}}), [empty])
    with pytest.raises(DataError, match="not given: other"):
        labels.joints(Labels("s", "x", {"other": {}}), [frame])
    with pytest.raises(DataError, match="at least one"):
        place(index_pip=Label(300, 200, "inside"))


# --- files --------------------------------------------------------------------


@pytest.fixture
def written(tmp_path):
    one = Labels(
        "sr305",
        "a person",
        {"a/1": {"wrist": Label(3.25, 4), "index tip": Label(7, 8.5, "inside")}, "a/2": {}},
        {"a/1": (0, 0, 20, 30), "a/2": (1, 2, 3, 4)},
    )
    return one, labels.write(tmp_path / "labels.json", one)


def test_what_is_written_is_read(written):
    one, path = written
    assert labels.read(path) == one
    assert len(one) == 2
    text = path.read_text(encoding="utf-8")
    assert '   "index tip": [7, 8.5, "inside"]' in text.splitlines(), "a joint per line"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"surface"', '"skin"', "wrist: .* kind one of surface, inside"),
        ('"wrist"', '"elbow"', "unknown joint 'elbow'"),
        ("3.25", '"3"', r"wrist: .*\[u, v, kind\]"),
        ("3.25", "NaN", r"wrist: .*\[u, v, kind\]"),
        ("msra21", "nyu14", "skeleton 'nyu14'"),
        ("hand labels 1", "hand labels 2", "format 'hand labels 2'"),
        ("[0, 0, 20, 30]", "[20, 0, 0, 30]", r"window .*\[left, top, right, bottom\]"),
        ('"dataset"', '"set"', "keys .*; accepted are"),
        ('"a/2"', '"a/1"', "a/1 stands twice"),
        ('"index tip"', '"wrist"', "wrist stands twice"),
    ],
)
def test_a_file_that_is_not_exactly_so_is_refused(written, old, new, message):
    _, path = written
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        labels.read(path)


def test_a_file_that_is_no_json_or_missing_is_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        labels.read(tmp_path / "none.json")
    (tmp_path / "half.json").write_text('{"format": ')
    with pytest.raises(DataError, match="not a JSON file"):
        labels.read(tmp_path / "half.json")


def test_a_kind_that_is_unknown_is_refused():
    with pytest.raises(HandPoseError, match="surface, inside"):
        Label(1, 2, "hidden")
    with pytest.raises(HandPoseError, match="finite"):
        Label(math.nan, 2)


# --- scores -------------------------------------------------------------------


@pytest.fixture
def truth():
    draw = torch.Generator().manual_seed(3)
    xyz = 100 * torch.rand(5, len(SKELETON), 3, generator=draw)
    known = torch.rand(5, len(SKELETON), generator=draw) < 0.7
    return Joints(tuple("abcde"), xyz.where(known[..., None], math.nan), known, 1.0)


def filled(joints):
    return joints.xyz.nan_to_num(1e4)  # joints without a label must not count


def test_the_score_of_the_labels_themselves_is_0(truth):
    found = labels.score(filled(truth), truth)
    assert found.raw_mm == found.aligned_mm == 0.0
    assert found.joints == int(truth.known.sum())


def test_a_shift_of_each_frame_is_the_raw_error_and_no_aligned_one(truth):
    shift = torch.tensor([[3.0, 4.0, 0.0], [0, 0, 7], [6, 0, 8], [1, 2, 2], [0, 0, 0]])
    found = labels.score(filled(truth) + shift[:, None], truth)
    lengths = shift.norm(dim=-1).tolist()
    assert [*found.per_frame_mm.values()] == pytest.approx(lengths, abs=1e-4)
    assert found.aligned_mm == pytest.approx(0.0, abs=1e-4)
    counts = truth.known.sum(1)
    assert found.raw_mm == pytest.approx(
        float((shift.norm(dim=-1) * counts).sum() / counts.sum()), abs=1e-4
    )


def test_no_translation_has_a_smaller_squared_error_than_the_best_one(truth):
    draw = torch.Generator().manual_seed(4)
    predicted = filled(truth) + 10 * torch.randn(truth.xyz.shape, generator=draw)
    moved = (filled(truth) - predicted).where(truth.known[..., None], 0.0)
    best = moved.sum(1) / truth.known.sum(1)[:, None]

    def squared(shift):
        missed = (predicted + shift[:, None] - filled(truth)).norm(dim=-1)
        return float(missed[truth.known].square().sum())

    found = labels.score(predicted, truth)
    again = labels.score(predicted + best[:, None], truth)
    assert again.raw_mm == pytest.approx(found.aligned_mm, rel=1e-4)
    assert again.aligned_mm == pytest.approx(found.aligned_mm, rel=1e-4)
    for _ in range(20):
        assert squared(best) <= squared(best + torch.randn(best.shape, generator=draw))


def test_disagreement_is_symmetric_and_covers_the_joints_that_both_have(truth):
    draw = torch.Generator().manual_seed(5)
    known = torch.rand(truth.known.shape, generator=draw) < 0.7
    other = replace(
        truth,
        xyz=(filled(truth) + torch.tensor([0.0, 3.0, 4.0])).where(known[..., None], math.nan),
        known=known,
    )
    forth, back = labels.disagreement(truth, other), labels.disagreement(other, truth)
    assert forth == back
    assert forth.joints == int((truth.known & known).sum())
    assert forth.raw_mm == pytest.approx(5.0, abs=1e-4)
    assert all(value == pytest.approx(5.0, abs=1e-4) for value in forth.per_joint_mm.values())
    scored = labels.score(filled(truth), truth, forth)
    assert (scored.noise_mm, scored.noise_aligned_mm) == (forth.raw_mm, forth.aligned_mm)


def test_scores_that_mean_nothing_are_refused(truth):
    with pytest.raises(HandPoseError, match="one hand for each"):
        labels.score(filled(truth)[:2], truth)
    with pytest.raises(HandPoseError, match="finite"):
        labels.score(truth.xyz, truth)
    nothing = replace(truth, known=torch.zeros_like(truth.known))
    with pytest.raises(HandPoseError, match="no joint"):
        labels.score(filled(truth), nothing)
    with pytest.raises(HandPoseError, match="other ids"):
        labels.disagreement(truth, replace(truth, ids=tuple("abcdx")))


def test_files_are_json_that_other_programs_read(written):
    _, path = written
    value = json.loads(path.read_text(encoding="utf-8"))
    assert value["frames"]["a/1"]["wrist"] == [3.25, 4, "surface"]


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_committed_labels_are_whole(path):
    """Every labelled joint lies in the window of its frame, and no frame is left out."""
    found = labels.read(path)
    camera = SPECS[found.dataset].camera
    assert set(found.windows) == set(found.frames) and len(found.frames) == 19
    for name, marks in found.frames.items():
        left, top, right, bottom = found.windows[name]
        assert 0 <= left < right <= camera.width and 0 <= top < bottom <= camera.height
        assert all(left <= m.u < right and top <= m.v < bottom for m in marks.values()), name


def test_two_labellings_are_committed_of_the_same_frames_in_the_same_order():
    assert [path.stem for path in COMMITTED] == ["sr305-first", "sr305-second"]
    first, second = map(labels.read, COMMITTED)
    assert first.dataset == second.dataset and [*first.frames] == [*second.frames]
    assert first.labelled_by != second.labelled_by


def test_no_exchange_of_two_fingers_brings_the_labellings_closer():
    """Both give the fingers the same names: with two names exchanged they would differ more."""
    first, second = map(labels.read, COMMITTED)
    levels = ("mcp", "pip", "dip", "tip")

    def apart(name, finger, rival):  # squared pixels at each level that both have
        ours, theirs = first.frames[name], second.frames[name]
        return {
            level: (a.u - b.u) ** 2 + (a.v - b.v) ** 2
            for level in levels
            if (a := ours.get(f"{finger} {level}")) and (b := theirs.get(f"{rival} {level}"))
        }

    for name in first.frames:
        for one, other in combinations(SKELETON.fingers, 2):
            named = [apart(name, one, one), apart(name, other, other)]
            exchanged = [apart(name, one, other), apart(name, other, one)]
            shared = set.intersection(*map(set, named + exchanged))
            assert shared, (name, one, other)
            total, rival = (
                sum(found[level] for found in pair for level in shared)
                for pair in (named, exchanged)
            )
            assert total < rival, (name, one, other)


def test_two_labellings_differ_by_less_than_a_finger_is_wide():
    """The noise of the labels is smaller than a finger: 15 mm across."""
    first, second = map(labels.read, COMMITTED)
    try:
        frames = datasets.open("sr305")
    except DataError as error:
        pytest.skip(f"the frames are not in the repository: {error}")
    noise = labels.disagreement(labels.joints(first, frames), labels.joints(second, frames))
    assert 0 < noise.aligned_mm < noise.raw_mm < FINGER_MM
    assert max(noise.per_joint_mm.values()) < FINGER_MM
    assert max(noise.per_frame_mm.values()) < FINGER_MM
