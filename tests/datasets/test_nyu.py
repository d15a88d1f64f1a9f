"""NYU: its layout byte by byte, both ways; its protocol; a synthetic set from end to end;
everything that may be wrong.
"""

import json
import pickle
import struct
import zlib
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch

from handpose_lib import prepare, synth
from handpose_lib.camera import Camera, xyz_to_uvd
from handpose_lib.dataset_specs import preset
from handpose_lib.datasets import nyu
from handpose_lib.errors import DataError, HandPoseError
from handpose_lib.io import matlab
from handpose_lib.skeleton import NYU_EVALUATED, NYU_NAMES
from handpose_lib.synth.scene import orbit
from tests.support.data_folders import made_with, opened, png
from tests.support.fuzzing import fuzz


def joints(count=1, seed=0):
    """(3, count, 36, 3) mm in front of each of the three cameras."""
    spread = torch.rand(3, count, 36, 3, generator=torch.Generator().manual_seed(seed)) - 0.5
    return (spread * torch.tensor([200.0, 200.0, 100.0]) + torch.tensor([0.0, 0.0, 700.0])).numpy()


def write_part(place, xyz):
    """Frames whose depth is 1000 · view + number, so that each tells which one it is."""
    place.mkdir(parents=True)
    for view in nyu.VIEWS:
        for i in range(xyz.shape[1]):
            nyu.write_frame(
                place / nyu.frame_name(i, view), np.full((480, 640), 1000 * view + i, np.float32)
            )
    nyu.write_joints(place / nyu.LABELS, xyz)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A set in NYU's layout with four training and three test frames."""
    root = tmp_path_factory.mktemp("nyu")
    write_part(root / "train", joints(4))
    write_part(root / "test", joints(3, seed=1))
    return root


# --- the format ---------------------------------------------------------------


def test_green_is_the_high_byte_and_blue_the_low_one(tmp_path):
    rows = [bytearray(3 * 640) for _ in range(480)]
    rows[10][3 * 20 : 3 * 20 + 3] = bytes((7, 2, 3))  # red means nothing
    rows[479][-3:] = bytes((0, 0, 255))
    path = tmp_path / "depth_1_0000001.png"
    path.write_bytes(png(640, 480, 8, 2, rows))
    depth = nyu.read_frame(path)
    assert depth.shape == (480, 640) and depth.dtype == np.float32
    assert depth[10, 20] == 2 * 256 + 3 and depth[479, 639] == 255 and np.count_nonzero(depth) == 2


def hand_built_labels(order="<"):
    """`joint_data.mat` with two frames, not by our writer: value 3000 · view + 1500 · frame + 40 ·
    joint + axis.
    """
    stored = (
        np.arange(3).reshape(3, 1, 1, 1) * 3000
        + np.arange(2).reshape(2, 1, 1) * 1500
        + np.arange(36)[:, None] * 40
    )
    stored = stored + np.arange(3)

    def element(kind, data):
        return struct.pack(f"{order}II", kind, len(data)) + data + bytes(-len(data) % 8)

    def array(kind, name, shape, content):
        return element(
            14,
            element(6, struct.pack(f"{order}II", kind, 0))
            + element(5, struct.pack(f"{order}{len(shape)}i", *shape))
            + element(1, name)
            + content,
        )

    numbers = element(
        3,
        b"".join(
            struct.pack(f"{order}h", value + 1) for value in stored.flatten(order="F").tolist()
        ),
    )
    coding = "utf-16-le" if order == "<" else "utf-16-be"
    names = b"".join(
        array(4, b"", (1, len(name)), element(17, name.encode(coding))) for name in NYU_NAMES
    )
    header = b"MATLAB 5.0 MAT-file".ljust(124) + (b"\x00\x01IM" if order == "<" else b"\x01\x00MI")
    return (
        header
        + array(6, b"joint_xyz", (3, 2, 36, 3), numbers)
        + array(1, b"joint_names", (1, 36), names)
    )


@pytest.mark.parametrize("order", ["<", ">"])
def test_hand_built_labels_turn_y_down_and_keep_their_order(tmp_path, order):
    path = tmp_path / "joint_data.mat"
    path.write_bytes(hand_built_labels(order))
    for view in nyu.VIEWS:
        xyz = nyu.read_joints(path, view)
        assert xyz.shape == (2, 36, 3) and xyz.dtype == torch.float32
        for frame, joint in ((0, 0), (1, 35), (1, 4)):
            first = 3000 * (view - 1) + 1500 * frame + 40 * joint + 1
            assert xyz[frame, joint].tolist() == [first, -(first + 1), first + 2]


def test_labels_survive_writing_and_reading(tmp_path):
    xyz = joints(3)
    nyu.write_joints(tmp_path / "joint_data.mat", xyz)
    for view in nyu.VIEWS:
        assert (
            nyu.read_joints(tmp_path / "joint_data.mat", view).numpy() == xyz[view - 1]
        ).all()  # stored as doubles
    found: dict[str, Any] = {**matlab.read(tmp_path / "joint_data.mat")}
    assert found["joint_names"] == list(NYU_NAMES)
    # pixels and mm as the set's own labels have them: v grows downwards although y grows upwards
    u, v, d = np.moveaxis(found["joint_uvd"], -1, 0)
    x, y, z = np.moveaxis(found["joint_xyz"], -1, 0)
    assert (
        np.abs(u - (320 + 588.036865 * x / z)).max() < 1e-9
        and np.abs(v - (240 - 587.075073 * y / z)).max() < 1e-9
    )
    assert (d == z).all()


def test_whole_millimetres_survive(tmp_path):
    depth = np.arange(480 * 640).reshape(480, 640).astype(np.float32) % 65536
    nyu.write_frame(tmp_path / "f.png", depth)
    assert (nyu.read_frame(tmp_path / "f.png") == depth).all()
    nyu.write_frame(tmp_path / "f.png", np.full((480, 640), 700.4, np.float32))
    assert (nyu.read_frame(tmp_path / "f.png") == 700).all()


# --- the set ------------------------------------------------------------------


def test_frames_are_counted_from_one_and_views_apart(small):
    for view in nyu.VIEWS:
        test = opened("nyu", small, split="test", view=view)
        assert [frame.depth[0, 0].item() for frame in test] == [1000 * view + i for i in range(3)]
        assert [frame.id for frame in test] == [f"test/depth_{view}_000000{i}" for i in (1, 2, 3)]
        assert torch.equal(
            test.joints(), torch.from_numpy(joints(3, seed=1))[view - 1][:, list(NYU_EVALUATED)]
        )
    last = opened("nyu", small, split="test", view=3)
    assert last[-1].id == "test/depth_3_0000003" and last.camera == preset("nyu")


def test_fourteen_or_all_joints(small):
    few, all36 = (opened("nyu", small, joints=count) for count in (14, 36))
    assert few.skeleton.name == "nyu14" and all36.skeleton.name == "nyu36"
    assert torch.equal(
        all36.joints()[:, [0, 3, 6, 9, 12, 15, 18, 21, 24, 25, 27, 30, 31, 32]], few.joints()
    )
    assert (
        few.protocol["joints"] == "14 of 36"
        and few.fingerprint == all36.fingerprint
        and len(few.fingerprint) == 16
    )


def test_splits(small):
    train, validation, test, both = (
        opened(
            "nyu",
            small,
            split=split,
            **({"validation": 0.25} if split in ("train", "validation") else {}),
        )
        for split in ("train", "validation", "test", "all")
    )
    assert [len(s) for s in (train, validation, test, both)] == [3, 1, 3, 7]
    assert validation[0].id == "train/depth_1_0000004" and train.protocol["validation"] == 0.25
    assert both[3].id == "train/depth_1_0000004" and both[4].id == "test/depth_1_0000001"
    assert train.fingerprint == test.fingerprint == both.fingerprint


def test_subjects_of_the_release_are_told_by_their_place(small, monkeypatch):
    monkeypatch.setattr(nyu, "TRAINING_SUBJECT", 2)
    assert opened("nyu", small, split="test").subjects is None  # not as long as the release
    with pytest.raises(
        DataError, match=r"joint_data.mat: 3 frames; .* known only for the release's 8,252"
    ):
        opened("nyu", small, split="test", subject="new")
    monkeypatch.setitem(nyu.COUNTS, "test", 3)
    assert opened("nyu", small, split="test").subjects.tolist() == [0, 0, 1]
    new = opened("nyu", small, split="test", subject="new")
    assert [frame.id for frame in new] == ["test/depth_1_0000003"] and new.protocol[
        "subject"
    ] == "new"
    assert len(opened("nyu", small, split="test", subject="training")) == 2
    assert opened("nyu", small, split="all").subjects.tolist() == [0] * 6 + [1]


def test_the_new_subject_of_the_release_begins_at_frame_2441(small, monkeypatch):
    """8,252 labels and no image: 2,440 frames of the training subject, then 5,812 of another."""
    monkeypatch.setattr(nyu, "read_joints", lambda path, view: torch.ones(8252, 36, 3))
    assert opened("nyu", small, split="test").subjects.tolist() == [0] * 2440 + [1] * 5812
    assert len(opened("nyu", small, split="test", subject="new")) == 5812


def test_published_centres_are_read_with_y_up(small, tmp_path):
    (tmp_path / "center_train_refined.txt").write_text(
        "1 2 700\ninvalid\n-3.5 -4 650.25\n5 6 600\n"
    )
    train = opened("nyu", small, centres=tmp_path)
    assert [frame.id[-1] for frame in train] == ["1", "3", "4"] and train.protocol[
        "centres"
    ] == "published"
    assert [frame.centre.tolist() for frame in train] == [
        [1, -2, 700],
        [-3.5, 4, 650.25],
        [5, -6, 600],
    ]
    assert train.joints().shape == (3, 14, 3)
    (tmp_path / "center_test_refined.txt").write_text("1 2 700\n" * 4)
    with pytest.raises(DataError, match="center_test_refined.txt: 4 reference points for 3 frames"):
        opened("nyu", small, split="test", centres=tmp_path)
    with pytest.raises(HandPoseError, match="centres for view 2: accepted is view 1"):
        opened("nyu", small, view=2, centres=tmp_path)


def test_several_workers_read_the_same_frames(small):
    test = opened("nyu", small, split="test")
    loader = torch.utils.data.DataLoader(test, batch_size=2, num_workers=2, collate_fn=list)
    assert [frame.id for batch in loader for frame in batch] == [frame.id for frame in test]
    assert torch.equal(pickle.loads(pickle.dumps(test))[1].depth, test[1].depth)


def test_fingerprint_sees_a_changed_label(tmp_path):
    write_part(tmp_path / "test", joints(1))
    before = opened("nyu", tmp_path, split="test").fingerprint
    nyu.write_joints(tmp_path / "test" / nyu.LABELS, joints(1, seed=2))
    assert opened("nyu", tmp_path, split="test").fingerprint != before


# --- a synthetic set ----------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return made_with("nyu", 4, tmp_path_factory.mktemp("made") / "nyu")


def test_synthetic_set_is_read_by_the_loader_of_the_real_one(made):
    train, test = (opened("nyu", made, split=split) for split in ("train", "test"))
    assert (
        (len(train), len(test)) == (4, 2)
        and train.synthetic
        and train.fingerprint == test.fingerprint
    )
    assert test.subjects.tolist() == [0, 1] and train.subjects.tolist() == [0] * 4
    assert len(opened("nyu", made, split="test", subject="new")) == 1
    settings = json.loads((made / "synthetic.json").read_text())
    assert (
        settings["distribution"]["sensors"] == {"structured light": 1.0}
        and settings["distribution"]["left"] == 0
    )
    assert len(list(made.rglob("*.png"))) == 3 * 6


def test_synthetic_joints_lie_on_the_hands_of_every_view(made):
    on_surface = import_module("data_scripts.support.checking").on_surface
    for view in nyu.VIEWS:
        frames = opened("nyu", made, split="all", view=view, joints=36)
        shares = [on_surface(frame.depth, frame.joints, frame.camera) for frame in frames]
        # a hand hides some of its own joints; of a wrong sign of y or another view's labels, few
        # would remain
        assert torch.stack(shares).mean() > 0.7
        mirrored = [
            on_surface(frame.depth, frame.joints * torch.tensor([1.0, -1.0, 1.0]), frame.camera)
            for frame in frames
        ]
        assert torch.stack(mirrored).mean() < 0.35


def test_three_views_show_one_hand(made):
    """What is rigid stays: all distances between joints, in spite of three cameras; each camera
    sees other depths.
    """
    views = [opened("nyu", made, split="all", view=view, joints=36).joints() for view in nyu.VIEWS]
    distances = [(xyz[:, :, None] - xyz[:, None]).norm(dim=-1) for xyz in views]
    assert all(
        (other - distances[0]).abs().max() < 0.02 for other in distances[1:]
    )  # float32 at a metre, twice
    assert all((other - views[0]).abs().amax((1, 2)).min() > 30 for other in views[1:])


def test_the_evaluated_joints_are_those_of_the_generator(made):
    layout = import_module("data_scripts.formats.nyu")
    settings = opened("nyu", made).settings()
    rendered = synth.frames(
        [1, 5],
        seed=settings["seed"],
        setup="nyu",
        subjects=[0, 8],
        distribution=import_module("data_scripts.formats").distribution(
            "wide_view", False, {**layout.CHANGES}
        ),
    )
    assert torch.equal(
        layout.joints36(rendered.posed.keypoints)[:, list(NYU_EVALUATED)], rendered.joints
    )
    one = synth.frames(
        [1],
        seed=settings["seed"],
        setup="nyu",
        subjects=[0],
        distribution=import_module("data_scripts.formats").distribution(
            "wide_view", False, {**layout.CHANGES}
        ),
    )
    train = opened("nyu", made)
    assert (
        train.joints()[1] - one.joints[0]
    ).abs().max() < 2e-4  # through float64 and back at a metre
    assert (train[1].centre - one.centre[0]).abs().max() < 2e-4


def test_a_room_is_behind_the_hand_and_the_sensor_leaves_holes(made):
    for frame in opened("nyu", made):
        behind = frame.depth > frame.joints[:, 2].max() + 100
        assert behind.double().mean() > 0.3  # a wall, mostly with a person
        assert 0 < (frame.depth == 0).double().mean() < 0.5  # shadows of the projector and holes
        assert (frame.depth == frame.depth.round()).all()


def test_turning_the_scene_is_rigid_and_keeps_planes_on_their_points():
    layout = import_module("data_scripts.formats.nyu")
    points = (
        torch.randn(1, 50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 100
        + 500
    )
    normal = torch.tensor([[0.36, 0.48, -0.8]], dtype=torch.float64)
    on_plane = points - normal * ((points * normal).sum(-1, keepdim=True) + 300)  # n.p = -300
    plane = torch.cat([normal, torch.tensor([[-300.0]], dtype=torch.float64)], 1)
    for degrees in layout.VIEWS_DEGREES:
        turned = orbit.turned_planes(plane, degrees, layout.PIVOT_MM)
        assert (
            (orbit.turned(on_plane, degrees, layout.PIVOT_MM) * turned[:, :3]).sum(-1)
            - turned[:, 3]
        ).abs().max() < 1e-9
    pivot = torch.tensor([0.0, 0.0, layout.PIVOT_MM])
    assert torch.equal(orbit.turned(pivot, 30.0, layout.PIVOT_MM), pivot)
    # a camera that goes to the right sees what is nearer than the pivot move to its left
    assert orbit.turned(torch.tensor([0.0, 0.0, 500.0]), 30.0, layout.PIVOT_MM)[0] < -100


@pytest.mark.parametrize("centre", ["mass", "outline", "stored", "true"])
def test_synthetic_frames_can_be_prepared(made, centre):
    test = opened("nyu", made, split="test")
    crops = prepare.batch(test.frames(range(len(test))), 300.0, centre)
    u, v, _ = xyz_to_uvd(crops.centre, crops.camera).unbind(-1)
    assert ((u > 0) & (u < 640) & (v > 0) & (v < 480)).all()
    assert ((prepare.image(crops, 64) < 1).double().mean((1, 2, 3)) > 0.02).all()


# --- what is refused ----------------------------------------------------------


@pytest.mark.parametrize(
    "options, message",
    [
        ({"split": "dev"}, "unknown split 'dev': accepted are train, validation, test, all"),
        ({"view": 0}, "unknown view 0: accepted are 1, 2, 3"),
        ({"joints": 21}, "unknown number of joints 21: accepted are 14, 36"),
        (
            {"split": "test", "subject": "B"},
            "unknown subject of the test frames 'B': accepted are training, new",
        ),
        ({"subject": "new"}, "unknown subject of the test frames 'new': accepted are $"),
        ({"split": "validation"}, "validation None: accepted is a share"),
        ({"validation": 3}, "validation 3: accepted is a share"),
    ],
)
def test_unknown_names_are_refused(small, options, message):
    with pytest.raises(HandPoseError, match=message):
        opened("nyu", small, **options)


def test_missing_things_are_named(small, tmp_path):
    with pytest.raises(
        DataError, match="nowhere: no such folder; NYU needs .*make_synthetic --format nyu"
    ):
        opened("nyu", tmp_path / "nowhere")
    with pytest.raises(DataError, match="train/joint_data.mat: missing"):
        opened("nyu", tmp_path)
    write_part(tmp_path / "test", joints(1))
    (tmp_path / "test" / "depth_1_0000001.png").unlink()
    with pytest.raises(
        DataError, match="depth_1_0000001.png: missing; accepted is a depth image of NYU"
    ):
        opened("nyu", tmp_path, split="test")[0]
    with pytest.raises(
        HandPoseError, match=r"joints of shape \(1, 36, 3\): accepted is \(3, N, 36, 3\)"
    ):
        nyu.write_joints(tmp_path / "j.mat", joints(1)[0])
    with pytest.raises(HandPoseError, match=r"depth of shape \(4, 4\)"):
        nyu.write_frame(tmp_path / "f.png", np.zeros((4, 4)))


@pytest.mark.parametrize(
    "values, message",
    [
        ({"joint_xyz": joints(1)}, "joint_names none"),
        ({"joint_names": list(NYU_NAMES)}, "joint_xyz none"),
        (
            {"joint_names": list(NYU_NAMES[::-1]), "joint_xyz": joints(1)},
            "joint_names PALM_6, PALM_5",
        ),
        (
            {"joint_names": list(NYU_NAMES), "joint_xyz": joints(1)[:, :, :21]},
            r"joint_xyz \(3, 1, 21, 3\)",
        ),
        (
            {"joint_names": list(NYU_NAMES), "joint_xyz": joints(1) * [1, 1, -1]},
            "frame 1 of view 1 .* in front",
        ),
        ({"joint_names": list(NYU_NAMES), "joint_xyz": joints(1) * np.nan}, "frame 1 of view 1"),
        (
            {"joint_names": list(NYU_NAMES), "joint_xyz": joints(1).astype(float) * 1e300},
            "frame 1 of view 1",
        ),
        ({"joint_names": list(NYU_NAMES), "joint_xyz": joints(0)}, "no frames"),
        ({"joint_names": joints(1), "joint_xyz": list(NYU_NAMES)}, "joint_names none"),
    ],
)
def test_labels_that_are_not_nyus_are_refused(tmp_path, values, message):
    matlab.write(tmp_path / "joint_data.mat", values)
    with pytest.raises(DataError, match=f"joint_data.mat: {message}"):
        nyu.read_joints(tmp_path / "joint_data.mat")


@pytest.mark.parametrize(
    "content, message",
    [
        (png(640, 480, 8, 0, [bytes(640)] * 480), "a PNG of kind 'L' and 640×480"),
        (
            png(320, 240, 8, 2, [bytes(960)] * 240),
            "a PNG of kind 'RGB' and 320×240 pixels; .* 640×480",
        ),
        (png(640, 480, 8, 2, [bytes(1920)] * 480)[:-9], "not a whole PNG .cut off after"),
        (
            png(640, 480, 8, 2, [bytes(1920)] * 480).replace(b"IDATx", b"IDATy"),
            "not a whole PNG .its part 'IDAT' is damaged",
        ),
        (png(2**31 - 1, 2**31 - 1, 8, 2, []), "not a readable PNG .DecompressionBombError"),
        (b"", "not a whole PNG .empty"),
        (b"GIF89a", "not a whole PNG .it does not begin as one"),
    ],
)
def test_damaged_images_are_named(tmp_path, content, message):
    path = tmp_path / "depth_1_0000007.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"depth_1_0000007.png: {message}"):
        nyu.read_frame(path)


def test_mutated_labels_are_read_or_refused(tmp_path):
    fuzz(nyu.read_joints, tmp_path / "joint_data.mat", hand_built_labels())


def test_mutated_packed_labels_are_read_or_refused(tmp_path):
    nyu.write_joints(tmp_path / "whole.mat", joints(1).round())
    fuzz(
        nyu.read_joints, tmp_path / "joint_data.mat", (tmp_path / "whole.mat").read_bytes(), seed=1
    )


def test_mutated_images_are_read_or_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(
        nyu, "CAMERA", Camera(10.0, 10.0, 4.0, 3.0, 8, 6)
    )  # small, so that thousands take seconds
    content = png(8, 6, 8, 2, [bytes(range(24 * i, 24 * i + 24)) for i in range(6)])
    path = tmp_path / "depth_1_0000001.png"
    path.write_bytes(content)
    whole = nyu.read_frame(path)
    tally = fuzz(lambda path: read_right(path, whole), path, content)
    assert tally["read", "extended"] > 0  # bytes after the end are no harm
    # a mutation that repairs its checksums gets past them, to the decoder
    fuzz(lambda path: nyu.read_frame(repaired(path)), path, content, count=500)


def read_right(path, whole):
    """A damaged image is refused or unharmed, never read as another measurement."""
    assert (nyu.read_frame(path) == whole).all()


def repaired(path):
    content, at = bytearray(path.read_bytes()), 8
    while at + 12 <= len(content):
        length = min(struct.unpack_from(">I", content, at)[0], len(content) - at - 12)
        struct.pack_into(">I", content, at, length)
        struct.pack_into(
            ">I", content, at + 8 + length, zlib.crc32(content[at + 4 : at + 8 + length])
        )
        at += 12 + length
    path.write_bytes(content)
    return path
