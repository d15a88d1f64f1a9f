"""DexYCB: its files value by value, both ways; its splits; a synthetic set from end to end;
everything that may be wrong.
"""

import io
import json
import os
import pickle
import shutil
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from handpose_lib import prepare, skeleton
from handpose_lib.camera import Camera, xyz_to_uvd
from handpose_lib.datasets import dexycb
from handpose_lib.errors import DataError, HandPoseError
from tests.support.data_folders import made_with, opened, png
from tests.support.fuzzing import fuzz

VIEWS = (1, 6)


def joints(seed=0):
    spread = torch.rand(21, 3, generator=torch.Generator().manual_seed(seed)) - 0.5
    return spread * torch.tensor([200.0, 200.0, 100.0]) + torch.tensor([0.0, 0.0, 800.0])


def lens(view):
    return Camera(600.0 + view, 601.0 + view, 310.0 + view, 240.0 - view, 640, 480)


def write_set(root, frames=2):
    """Five sequences of each person; the first frame of each shows no hand; odd ones are left.

    An image's depth is 100 × person + 10 × sequence + view, so that it tells where it comes from.
    """
    for view in dexycb.VIEWS:
        dexycb.write_camera(dexycb.camera_file(root, view), lens(view))
    for person, name in enumerate(dexycb.PERSONS, start=1):
        for number in range(5):
            place = root / name / f"{name[:8]}_14{number}000"
            dexycb.write_sequence(place, frames, "left" if number % 2 else "right")
            for view, serial in enumerate(dexycb.SERIALS, start=1):
                (place / serial).mkdir()
                if view not in VIEWS:
                    continue
                depth = np.full((480, 640), 100.0 * person + 10 * number + view)
                for i in range(frames):
                    dexycb.write_frame(place / serial / dexycb.frame_name(i), depth)
                    xyz = None if i == 0 else joints(100 * person + 10 * number + view).numpy()
                    dexycb.write_joints(place / serial / dexycb.label_name(i), xyz)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    root = tmp_path_factory.mktemp("dexycb")
    write_set(root)
    return root


@pytest.fixture
def small(kept, monkeypatch):
    """A set in DexYCB's layout with five sequences of each person, of which two views are there."""
    monkeypatch.setattr(dexycb, "SEQUENCES", 5)
    return kept


@pytest.fixture
def copy(small, tmp_path):
    """The same, to be damaged: files are links, and have to be replaced and not written over."""
    shutil.copytree(small, tmp_path / "set", copy_function=os.link)
    return tmp_path / "set"


def replace(path, content):
    path.unlink()
    path.write_bytes(content)


# --- The format ---------------------------------------------------------------


def test_image_is_read_as_the_format_says(tmp_path):
    """Sixteen bits, the high byte first as PNG has them, in mm, 0 = nothing."""
    rows = [bytearray(2 * 640) for _ in range(480)]
    rows[7][2 * 30 : 2 * 30 + 2] = (1234).to_bytes(2, "big")
    path = tmp_path / dexycb.frame_name(0)
    path.write_bytes(png(640, 480, 16, 0, rows))
    depth = dexycb.read_frame(path)
    assert depth.dtype == np.float32 and depth[7, 30] == 1234 and np.count_nonzero(depth) == 1


def test_labels_are_read_as_the_format_says(tmp_path):
    """Metres become mm, axes stay; what else a label file holds does not matter."""
    metres = np.arange(63, dtype=np.float32).reshape(1, 21, 3) / 64 + 0.5
    others = {"seg": np.zeros((480, 640), np.uint8), "pose_m": np.zeros((1, 51), np.float32)}
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "labels_000000.npz", joint_3d=metres, **others)
        found = dexycb.read_joints(tmp_path / "labels_000000.npz")
        assert found.dtype == torch.float32 and found.shape == (21, 3)
        assert torch.equal(found, torch.from_numpy(1000 * metres[0]))
    np.savez(tmp_path / "labels_000001.npz", joint_3d=np.full((1, 21, 3), -1, np.float32))
    assert dexycb.read_joints(tmp_path / "labels_000001.npz").isnan().all()


def test_text_files_are_read_as_the_format_says(tmp_path):
    meta = "serials:\n- '836212060125'\nnum_frames: 72\nextrinsics: 20200702_151821\n"
    (tmp_path / "meta.yml").write_text(meta + "mano_sides:\n- left\nycb_ids: [1, 11]\n")
    assert dexycb.read_meta(tmp_path / "meta.yml") == (72, "left")
    colour = "color:\n  fx: 613.5\n  fy: 612\n  ppx: 313.0279\n  ppy: 245.0087\n"
    (tmp_path / "c.yml").write_text(colour + "depth: {fx: 380.0, fy: 380.0, ppx: 320, ppy: 240}\n")
    expected = Camera(613.5, 612.0, 313.0279, 245.0087, 640, 480)
    assert dexycb.read_camera(tmp_path / "c.yml") == expected


def test_what_is_written_is_read(tmp_path):
    dexycb.write_joints(tmp_path / "a.npz", joints().numpy())
    # float32 of 0.8 m has steps of 6e-8 m, and so has that of 800 mm
    assert (dexycb.read_joints(tmp_path / "a.npz") - joints()).abs().max() < 1.3e-4
    dexycb.write_joints(tmp_path / "b.npz", joints().numpy())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    depth = np.arange(480 * 640, dtype=np.float32).reshape(480, 640) % 60000
    dexycb.write_frame(tmp_path / "f.png", depth)
    assert (dexycb.read_frame(tmp_path / "f.png") == depth).all()
    dexycb.write_camera(tmp_path / "cameras" / "c.yml", lens(3))
    assert dexycb.read_camera(tmp_path / "cameras" / "c.yml") == lens(3)


def test_names_are_those_of_the_release(tmp_path):
    assert dexycb.frame_name(53) == "aligned_depth_to_color_000053.png"
    assert dexycb.label_name(53) == "labels_000053.npz"
    assert dexycb.camera_file(tmp_path, 6) == (
        tmp_path / "calibration" / "intrinsics" / "932122060861_640x480.yml"
    )


def test_joints_come_finger_by_finger_with_the_thumb_first():
    """The order that the authors' code lists, and the bones that it draws."""
    fingers, levels = ("thumb", "index", "middle", "ring", "little"), ("mcp", "pip", "dip", "tip")
    listed = ("wrist", *(f"{finger} {level}" for finger in fingers for level in levels))
    hand = skeleton.get("dexycb21")
    assert hand.joints == listed
    assert hand.parents == (-1, *(0 if i % 4 == 1 else i - 1 for i in range(1, 21)))


# --- The set ------------------------------------------------------------------


def one_view(root, split="train", view: int | None = 6, **options) -> Any:
    return opened("dexycb", root, split=split, view=view, **options)


def test_split_by_sequence(small):
    """Every fifth sequence is seen in no training; those of the first two persons validate."""
    train, validation, test = (one_view(small, split) for split in ("train", "validation", "test"))
    assert [len(s) for s in (train, validation, test)] == [40, 2, 8]
    assert train.subjects.unique().tolist() == list(range(1, 11))
    assert validation.subjects.tolist() == [1, 2] and test.subjects.tolist() == list(range(3, 11))
    assert {frame.id.split("/")[1][-5] for frame in test} == {"4"}
    assert not {frame.id for frame in train} & {frame.id for frame in test}
    assert len(one_view(small, "all")) == 50


def test_split_by_subject(small):
    persons = {
        split: one_view(small, split, split_by="subject").subjects.unique().tolist()
        for split in ("train", "validation", "test")
    }
    assert persons == {"train": [1, 2, 3, 4, 5, 6, 10], "validation": [7], "test": [8, 9]}


def test_splits_are_those_of_the_paper():
    """Counted as its code counts, from 0, for all hundred sequences of ten persons."""
    sequences = [
        dexycb.Sequence(Path(), p + 1, n, 1, "left") for p in range(10) for n in range(100)
    ]

    def chosen(split, split_by):
        return {(s.person - 1, s.number) for s in sequences if dexycb.belongs(s, split, split_by)}

    every = range(100)
    fifth = [n for n in every if n % 5 == 4]
    assert chosen("train", "sequence") == {
        (p, n) for p in range(10) for n in every if n not in fifth
    }
    assert chosen("validation", "sequence") == {(p, n) for p in (0, 1) for n in fifth}
    assert chosen("test", "sequence") == {(p, n) for p in range(2, 10) for n in fifth}
    for split, persons in (
        ("train", (0, 1, 2, 3, 4, 5, 9)),
        ("validation", (6,)),
        ("test", (7, 8)),
    ):
        assert chosen(split, "subject") == {(p, n) for p in persons for n in every}


def test_each_view_has_its_camera(small):
    assert one_view(small, view=1).camera == lens(1) == one_view(small, view=1)[0].camera
    frame = one_view(small, "test", view=6)[0]
    assert frame.camera == lens(6) and frame.depth[0, 0] == 346
    assert frame.id == "20200820-subject-03/20200820_144000/932122060861/000001"
    assert (frame.joints - joints(346)).abs().max() < 2e-4


def test_all_views_come_one_after_the_other(small, monkeypatch):
    monkeypatch.setattr(dexycb, "VIEWS", VIEWS)
    test = one_view(small, "test", view=None)
    assert test.views.tolist() == [1, 6] * 8 and test.camera == dexycb.CAMERA
    assert [frame.camera for frame in test.frames([0, 1])] == [lens(1), lens(6)]
    crops = prepare.batch(test.frames([0, 1]), 250.0, centre="true")
    assert torch.equal(crops.camera, torch.stack([lens(1).intrinsics(), lens(6).intrinsics()]))
    assert test.protocol["view"] == "all"


def test_left_hands_stay_as_they_are_and_are_named(small):
    """No loader mirrors: `frame.hand` tells, and crops are mirrored when they are made."""
    both, right, left = (one_view(small, hand=hand) for hand in (None, "right", "left"))
    assert [len(s) for s in (both, right, left)] == [40, 20, 20]
    assert {frame.hand for frame in right} == {"right"} and {f.hand for f in left} == {"left"}
    assert left[0].id.split("/")[1] == "20200709_141000"
    assert (left[0].joints - joints(116)).abs().max() < 2e-4, "not mirrored"
    crops = prepare.batch([right[0], left[0]], 250.0, centre="true")
    assert crops.mirror.tolist() == [1, -1]
    assert [s.protocol["hands"] for s in (both, right, left)] == ["both", "right", "left"]


def test_frames_without_a_hand_are_left_out_and_counted(small):
    test = one_view(small, "test")
    assert test.protocol == {
        "split": "test",
        "split by": "sequence",
        "view": 6,
        "hands": "both",
        "without a hand": 8,
    }
    assert "without a hand 8" in test.describe()
    assert {frame.id[-1] for frame in test} == {"1"} and test.joints().isfinite().all()


def test_joints_without_reading_images(small):
    test = one_view(small, "test")
    assert torch.equal(test.joints(), torch.stack([frame.joints for frame in test]))
    assert test.skeleton is skeleton.get("dexycb21")


def test_fingerprint_sees_lengths_hands_and_cameras(copy):
    before = one_view(copy, "test").fingerprint
    assert one_view(copy, "train", view=1).fingerprint == before and len(before) == 16
    place = copy / dexycb.PERSONS[0] / "20200709_140000"
    replace(place / "meta.yml", b"num_frames: 2\nmano_sides: [left]\n")
    changed = one_view(copy, "test").fingerprint
    replace(dexycb.camera_file(copy, 8), b"color: {fx: 1, fy: 1, ppx: 1, ppy: 1}\n")
    assert len({before, changed, one_view(copy, "test").fingerprint}) == 3


# --- A synthetic set ----------------------------------------------------------


def only_three(patch):
    """Three persons and three cameras, so that a set takes seconds."""
    patch.setattr(dexycb, "PERSONS", dexycb.PERSONS[:3])
    patch.setattr(dexycb, "SERIALS", dexycb.SERIALS[:3])
    patch.setattr(dexycb, "VIEWS", (1, 2, 3))


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        only_three(patch)
        place = tmp_path_factory.mktemp("synthetic") / "dexycb"
        return made_with("dexycb", 1, place, "--distribution", "wide")


@pytest.fixture
def made(three, monkeypatch):
    """A synthetic set, made by the script that everyone uses."""
    only_three(monkeypatch)
    return three


def test_a_synthetic_set_is_read_back(made):
    train = one_view(made, view=None)
    assert train.synthetic and train.settings()["protocol"] == "dexycb" and len(train) == 3 * 4 * 3
    assert train.protocol["without a hand"] == 3 * 4 * 3
    assert {frame.hand for frame in train} == {"left", "right"}
    assert len({frame.camera for frame in train}) == 3
    on_surface = import_module("data_scripts.support.checking").on_surface
    shares = [on_surface(frame.depth, frame.joints, frame.camera) for frame in train]
    assert torch.stack(shares).mean() > 0.75
    for frame in train:
        uv = xyz_to_uvd(frame.joints, frame.camera)[:, :2]
        assert ((uv >= 0) & (uv < torch.tensor([640, 480]))).float().mean() > 0.9
        assert frame.centre is not None and (frame.centre - frame.joints.mean(0)).norm() < 60


def test_all_views_show_one_hand(made):
    """Every camera sees the same distances between joints, and turned the joints coincide."""
    orbit = import_module("handpose_lib.synth.scene.orbit")
    layout = import_module("data_scripts.formats.dexycb")
    train = one_view(made, "all", view=None)
    one, two, three = (train.joints()[train.views == view] for view in (1, 2, 3))
    for other, degrees in ((two, 45.0), (three, 90.0)):
        assert (torch.cdist(one, one) - torch.cdist(other, other)).abs().max() < 2e-2
        turned = orbit.turned(one, degrees, layout.PIVOT_MM)
        assert (turned - other).abs().max() < 2e-3


def test_left_hands_are_mirrored_right_ones(made):
    """Fingers bend towards the palm, where the normal of a right hand points and that of a left
    one does not.
    """
    train = one_view(made, "all", view=1)
    names = ("wrist", "index mcp", "little mcp", "middle mcp", "middle tip")
    hand = skeleton.get("dexycb21")
    bent = {"left": [], "right": []}
    for frame in train:
        wrist, index, little, middle, tip = (frame.joints[hand.index(name)] for name in names)
        normal = torch.linalg.cross(index - wrist, little - wrist)
        bent[frame.hand].append(torch.dot(normal, tip - middle) / normal.norm())
    assert torch.stack(bent["right"]).mean() > 0 > torch.stack(bent["left"]).mean()


# --- What may be wrong --------------------------------------------------------


def archive(**members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return content.getvalue()


def array(values, **options):
    content = io.BytesIO()
    np.lib.format.write_array(content, np.asarray(values), **options)
    return content.getvalue()


class Bomb:
    """Unpickled, it would leave a file."""

    def __reduce__(self):
        return os.mkdir, ("unpickled",)


HUGE = (
    b"\x93NUMPY\x01\x00v\x00"
    + b"{'descr': '<f4', 'fortran_order': False, 'shape': (999999999999, 21, 3), }".ljust(117)
    + b"\n"
)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "no whole label file"),
        (b"PK\x03\x04", "BadZipFile"),
        (archive(pose_m=array(np.zeros((1, 51)))), "KeyError"),
        (archive(joint_3d=array(np.zeros((21, 3)))), r"holds float64 of shape \(21, 3\)"),
        (archive(joint_3d=array(np.zeros((1, 21, 3), int))), "holds int64 of shape"),
        (archive(joint_3d=b"\x93NUMPY"), "no whole label file"),
        (archive(joint_3d=HUGE), "holds float32 of shape"),
        (archive(joint_3d=bytes(1 << 20)), "has more than 4,096 bytes"),
        (archive(joint_3d=array(np.full((1, 21, 3), np.nan))), "a joint that is not finite"),
        (archive(joint_3d=array(np.full((1, 21, 3), -0.5))), "not in front of the camera"),
        (archive(joint_3d=array(np.full((1, 21, 3), 1e300))), "a joint that is not finite"),
    ],
)
def test_damaged_labels_are_named(tmp_path, content, message):
    path = tmp_path / "labels_000000.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"labels_000000.npz: .*{message}"):
        dexycb.read_joints(path)


@pytest.mark.parametrize(
    "content",
    [
        archive(joint_3d=pickle.dumps(Bomb())),
        archive(joint_3d=array(np.array([[[Bomb()] * 3] * 21], object), allow_pickle=True)),
        pickle.dumps(Bomb()),
    ],
)
def test_nothing_is_unpickled(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels_000000.npz").write_bytes(content)
    with pytest.raises(DataError, match="labels_000000.npz: no whole label file"):
        dexycb.read_joints(tmp_path / "labels_000000.npz")
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "accepted are names with values"),
        ("- 1\n- 2\n", "accepted are names with values"),
        ("num_frames: [", "no YAML"),
        ("!!python/object/apply:os.mkdir ['unpickled']", "no YAML"),
        ("mano_sides: [left]", "num_frames None"),
        ("num_frames: -3\nmano_sides: [left]", "num_frames -3"),
        ("num_frames: true\nmano_sides: [left]", "num_frames True"),
        ("num_frames: 1e9\nmano_sides: [left]", "num_frames 1e9"),
        ("num_frames: 3\nmano_sides: [left, right]", "mano_sides"),
        ("num_frames: 3\nmano_sides: [both]", "mano_sides"),
        ("num_frames: 3\nmano_sides: left", "mano_sides left"),
        ("x: " + "y" * (1 << 17), "more than 65,536 bytes"),
    ],
)
def test_damaged_sequences_are_named(tmp_path, text, message):
    (tmp_path / "meta.yml").write_text(text)
    with pytest.raises(DataError, match=f"meta.yml: .*{message}"):
        dexycb.read_meta(tmp_path / "meta.yml")


@pytest.mark.parametrize(
    "text, message",
    [
        ("depth: {fx: 1, fy: 1, ppx: 1, ppy: 1}", "color None"),
        ("color: [1, 1, 1, 1]", "accepted are fx"),
        ("color: {fx: 1, fy: 1, ppx: 1}", "accepted are fx"),
        ("color: {fx: '1', fy: 1, ppx: 1, ppy: 1}", "accepted are fx"),
        ("color: {fx: -1, fy: 1, ppx: 1, ppy: 1}", "focal lengths"),
        ("color: {fx: .nan, fy: 1, ppx: 1, ppy: 1}", "focal lengths"),
        ("color: {fx: 1, fy: 1, ppx: .inf, ppy: 1}", "principal point"),
    ],
)
def test_damaged_cameras_are_named(tmp_path, text, message):
    (tmp_path / "c.yml").write_text(text)
    with pytest.raises(DataError, match=f"c.yml: .*{message}"):
        dexycb.read_camera(tmp_path / "c.yml")


def test_missing_things_are_named(copy, tmp_path, monkeypatch):
    with pytest.raises(
        DataError, match="nowhere: no such folder; DexYCB needs ten folders.*dexycb"
    ):
        opened("dexycb", tmp_path / "nowhere")
    with pytest.raises(DataError, match="labels_000000.npz: missing"):
        one_view(copy, view=2)
    place = copy / dexycb.PERSONS[2] / "20200820_144000"
    (place / dexycb.SERIALS[5] / dexycb.frame_name(1)).unlink()
    with pytest.raises(DataError, match=f"{dexycb.frame_name(1)}: missing"):
        one_view(copy, "test")[0]
    (place / "meta.yml").unlink()
    with pytest.raises(DataError, match="meta.yml: cannot be read"):
        one_view(copy)
    shutil.rmtree(place)
    with pytest.raises(DataError, match="subject-03: 4 sequences; accepted are 5"):
        one_view(copy)
    dexycb.camera_file(copy, 6).unlink()
    with pytest.raises(DataError, match="932122060861_640x480.yml: cannot be read"):
        one_view(copy)
    shutil.rmtree(copy / dexycb.PERSONS[9])
    with pytest.raises(DataError, match="subject-10: 0 sequences"):
        dexycb.read_sequences(copy, synthetic=True)


def test_a_set_without_any_hand_is_an_error(copy):
    (copy / "synthetic.json").write_text(json.dumps({"seed": 0}))
    for path in copy.glob(f"*-0[89]/*/{dexycb.SERIALS[5]}/{dexycb.label_name(1)}"):
        path.unlink()
        dexycb.write_joints(path, None)
    with pytest.raises(DataError, match="no labelled hand in the test split by subject"):
        one_view(copy, "test", split_by="subject")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"split": "dev"}, "unknown split 'dev'"),
        ({"split_by": "person"}, "way to split DexYCB 'person': accepted are sequence, subject"),
        ({"view": 9}, "view of DexYCB 9"),
        ({"view": 0}, "view of DexYCB 0"),
        ({"hand": "both"}, "unknown hand 'both'"),
    ],
)
def test_unknown_options_are_refused(small, options, message):
    with pytest.raises(HandPoseError, match=message):
        opened("dexycb", small, **options)


def test_wrong_shapes_are_not_written(tmp_path):
    with pytest.raises(HandPoseError, match=r"joints of shape \(1, 21, 3\)"):
        dexycb.write_joints(tmp_path / "a.npz", np.zeros((1, 21, 3)))
    with pytest.raises(HandPoseError, match=r"depth of shape \(240, 320\)"):
        dexycb.write_frame(tmp_path / "f.png", np.zeros((240, 320)))


def test_thousands_of_damaged_images(tmp_path):
    depth = np.zeros((480, 640))
    depth[200:210, 300:310] = np.arange(100).reshape(10, 10) + 500
    path = tmp_path / dexycb.frame_name(0)
    dexycb.write_frame(path, depth)
    fuzz(dexycb.read_frame, path, path.read_bytes())


def test_thousands_of_damaged_labels(tmp_path):
    path = tmp_path / dexycb.label_name(0)
    for save in (np.savez, np.savez_compressed):
        save(path, joint_3d=joints().numpy()[None] / 1000, pose_m=np.zeros((1, 51), np.float32))
        fuzz(dexycb.read_joints, path, path.read_bytes())


def test_thousands_of_damaged_text_files(tmp_path):
    dexycb.write_sequence(tmp_path / "sequence", 72, "left")
    path = tmp_path / "sequence" / "meta.yml"
    fuzz(dexycb.read_meta, path, path.read_bytes())
    path = tmp_path / "camera.yml"
    dexycb.write_camera(path, lens(1))
    fuzz(dexycb.read_camera, path, path.read_bytes())
