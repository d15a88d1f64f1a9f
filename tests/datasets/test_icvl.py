"""ICVL: its layout byte by byte, both ways; its protocol; a synthetic set from end to end;
everything that may be wrong.
"""

import json
import struct
from importlib import import_module

import numpy as np
import pytest
import torch

from handpose_lib import paths, prepare, synth
from handpose_lib.camera import Camera, uvd_to_xyz, xyz_to_uvd
from handpose_lib.dataset_specs import preset
from handpose_lib.datasets import icvl
from handpose_lib.errors import DataError, HandPoseError
from tests.support.data_folders import made_with, opened, png
from tests.support.fuzzing import fuzz


def joints(count=1, seed=0):
    """(count, 16, 3) mm in front of the camera, at thousandths of a pixel and of a mm, as the files
    have them.
    """
    generator = torch.Generator().manual_seed(seed)
    uvd = torch.rand(count, 16, 3, generator=generator) * torch.tensor(
        [200, 150, 100]
    ) + torch.tensor([60, 40, 300])
    return uvd_to_xyz((uvd.double() * 1000).round() / 1000, preset("icvl")).numpy()


NAMES = [
    "201403121135/image_0000.png",
    "201403121135/image_0001.png",
    "22-5/201403121135/image_0000.png",
    "201403121140/image_0000.png",
    "0/201403121140/image_0000.png",
]


def write_part(place, lists):
    """Label files and images whose depth is 300 plus the place in all lists."""
    number = 300
    for file, names in lists.items():
        for name in names:
            path = place / "Depth" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            icvl.write_frame(path, np.full((240, 320), number, np.float32))
            number += 1
        icvl.write_labels(place / file, names, joints(len(names), seed=len(file)))


@pytest.fixture
def small(tmp_path):
    """A set in ICVL's layout with three originals, two copies and three test frames."""
    root = tmp_path / "icvl"
    write_part(root / "Training", {"labels.txt": NAMES})
    write_part(
        root / "Testing",
        {f"test_seq_{k}.txt": [f"test_seq_{k}/image_000{i}.png" for i in range(k)] for k in (1, 2)},
    )
    return root


# --- the format ---------------------------------------------------------------


def test_high_byte_comes_first_and_markers_mean_nothing(tmp_path):
    rows = [bytearray(640) for _ in range(240)]
    rows[10][40:46] = struct.pack(">3H", 0x0203, 32_001, 31_999)
    rows[239][-4:] = struct.pack(">2H", 65_535, 1)
    path = tmp_path / "image_0000.png"
    path.write_bytes(png(320, 240, 16, 0, rows))
    depth = icvl.read_frame(path)
    assert depth.shape == (240, 320) and depth.dtype == np.float32
    assert depth[10, 20:23].tolist() == [0x0203, 0, 31_999] and depth[239, 318:].tolist() == [0, 1]
    assert np.count_nonzero(depth) == 3


def test_hand_built_labels(tmp_path):
    """Line ends of the release's test files, blank lines, a trailing field, pixels counted from 0
    with v down.
    """
    path = tmp_path / "test_seq_1.txt"
    path.write_bytes(
        b"test_seq_1/image_0000.png "
        + b"160 120 400 " * 15
        + b"260.5 20.25 482.84 \r\r\n"
        + b"\n test_seq_1\\image_0001.png "
        + b"\t".join([b"0 239 1e2"] * 16)
        + b" end\n\n"
    )
    labels = icvl.read_labels(path)
    assert labels.names == ["test_seq_1/image_0000.png", "test_seq_1/image_0001.png"]
    assert (
        labels.lines.tolist() == [0, 1]
        and labels.count == 2
        and labels.joints.dtype == torch.float32
    )
    assert labels.joints[0, 0].tolist() == [0, 0, 400]
    expected = torch.tensor(
        [100.5 * 482.84 / 241.42, -99.75 * 482.84 / 241.42, 482.84]
    )  # y grows downwards
    assert (labels.joints[0, 15] - expected).abs().max() < 1e-4
    assert (
        labels.joints[1] - torch.tensor([-160 * 100 / 241.42, 119 * 100 / 241.42, 100])
    ).abs().max() < 1e-4


def test_labels_of_the_release():
    """The published test labels, where the data folder has them: 702 and 894 frames of hands near
    350 mm.
    """
    for name, count in (("test_seq_1.txt", 702), ("test_seq_2.txt", 894)):
        assert icvl.COUNTS[name] == count
        path = paths.data() / "published" / "icvl" / name
        if path.is_file():
            labels = icvl.read_labels(path)
            assert (
                labels.count == len(labels.names) == count
                and labels.names[-1] == f"{name[:-4]}/image_{count - 1:04d}.png"
            )
            assert labels.joints[..., 2].min() > 150 and labels.joints[..., 2].max() < 600


def test_labels_survive_writing_and_reading(tmp_path):
    xyz = joints(5)
    icvl.write_labels(tmp_path / "labels.txt", [f"2014/{i}.png" for i in range(5)], xyz)
    # half a thousandth of a pixel at 400 mm, of a millimetre in depth off the axis, and float32
    assert np.abs(icvl.read_labels(tmp_path / "labels.txt").joints.numpy() - xyz).max() < 2e-3
    depth = np.arange(240 * 320).reshape(240, 320).astype(np.float32) % 32_000
    icvl.write_frame(tmp_path / "f.png", depth)
    assert (icvl.read_frame(tmp_path / "f.png") == depth).all()


# --- the set ------------------------------------------------------------------


def test_originals_or_with_rotated_copies(small):
    originals, everything = (opened("icvl", small, rotated=rotated) for rotated in (False, True))
    assert [f"{frame.id}.png" for frame in originals] == [NAMES[i] for i in (0, 1, 3)]
    assert [f"{frame.id}.png" for frame in everything] == NAMES
    assert [frame.depth[0, 0].item() for frame in originals] == [300, 301, 303]
    xyz = icvl.read_labels(small / "Training" / "labels.txt").joints
    assert torch.equal(originals.joints(), xyz[[0, 1, 3]]) and torch.equal(
        everything[4].joints, xyz[4]
    )
    assert originals.protocol == {"split": "train", "training frames": "originals"}
    assert everything.protocol["training frames"] == "with rotated copies"
    assert originals.fingerprint == everything.fingerprint and originals.skeleton.name == "icvl16"


def test_test_sequences_follow_each_other(small):
    test = opened("icvl", small, split="test")
    assert [frame.id for frame in test] == [
        "test_seq_1/image_0000",
        "test_seq_2/image_0000",
        "test_seq_2/image_0001",
    ]
    assert test.sequences.tolist() == [1, 2, 2] and [
        frame.depth[5, 5].item() for frame in test
    ] == [300, 301, 302]
    assert opened("icvl", small, split="all").sequences.tolist() == [0, 0, 0, 1, 2, 2]


def test_validation_never_leaks_through_a_copy(small):
    options = {"rotated": True, "validation": 0.3}
    train, validation = (
        opened("icvl", small, split=split, **options) for split in ("train", "validation")
    )
    assert [f"{frame.id}.png" for frame in validation] == ["201403121140/image_0000.png"]
    assert [f"{frame.id}.png" for frame in train] == NAMES[:3]  # without the copy in 0/
    write_part(small / "Training", {"labels.txt": [*NAMES, "45/image_0007.png"]})
    with pytest.raises(
        DataError, match="45/image_0007.png: a rotated copy whose original is not listed"
    ):
        opened("icvl", small, **options)
    assert len(opened("icvl", small, validation=0.3)) == 2


def test_training_lines_without_an_image_are_counted(small):
    (small / "Training" / "Depth" / NAMES[1]).unlink()
    train = opened("icvl", small)
    assert len(train) == 2 and train.protocol["listed without an image"] == 1
    (small / "Testing" / "Depth" / "test_seq_2" / "image_0000.png").unlink()
    with pytest.raises(DataError, match="test_seq_2/image_0000.png: missing, and 0 others"):
        opened("icvl", small, split="test")


def test_published_centres_count_every_line(small, tmp_path):
    (tmp_path / "center_train_refined.txt").write_text(
        "".join(f"{i} {i + 1} 400\n" for i in range(4)) + "invalid\n"
    )
    originals, everything = (
        opened("icvl", small, rotated=rotated, centres=tmp_path) for rotated in (False, True)
    )
    assert [frame.centre.tolist() for frame in originals] == [
        [0, 1, 400],
        [1, 2, 400],
        [3, 4, 400],
    ]  # y is already down
    assert len(everything) == 4 and everything[2].id == "22-5/201403121135/image_0000"
    (tmp_path / "center_test_refined.txt").write_text("1 2 400\n" * 2)
    with pytest.raises(DataError, match="center_test_refined.txt: 2 reference points for 3 frames"):
        opened("icvl", small, split="test", centres=tmp_path)


def test_fingerprint_sees_a_changed_label(small):
    before = opened("icvl", small).fingerprint
    path = small / "Testing" / "test_seq_2.txt"
    path.write_text(path.read_text().replace("1", "2", 1))
    assert opened("icvl", small).fingerprint != before


# --- a synthetic set ----------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return made_with("icvl", 16, tmp_path_factory.mktemp("made") / "icvl")


def test_synthetic_set_is_read_by_the_loader_of_the_real_one(made):
    originals, everything, test = (
        opened("icvl", made, **options) for options in ({}, {"rotated": True}, {"split": "test"})
    )
    assert (len(originals), len(everything), len(test)) == (16, 32, 4) and originals.synthetic
    assert test.sequences.tolist() == [1, 1, 2, 2] and originals.fingerprint == test.fingerprint
    settings = json.loads((made / "synthetic.json").read_text())
    assert settings["distribution"]["sensors"] == {"time of flight": 1.0} and settings["seed"] == 5


def test_synthetic_joints_lie_on_the_hands_and_their_copies(made):
    on_surface = import_module("data_scripts.support.checking").on_surface
    frames = [
        *opened("icvl", made, rotated=True),
        *opened("icvl", made, split="test"),
    ]
    assert (
        torch.stack(
            [on_surface(frame.depth, frame.joints, frame.camera) for frame in frames]
        ).mean()
        > 0.7
    )
    flipped = torch.tensor([1.0, -1.0, 1.0])
    assert (
        torch.stack(
            [on_surface(frame.depth, frame.joints * flipped, frame.camera) for frame in frames]
        ).mean()
        < 0.35
    )


def test_a_rotated_copy_is_what_a_turned_camera_sees(made):
    """Joints and reference points turn by the folder's angle, rigidly, from x towards y; depths
    stay.
    """
    frames = {frame.id: frame for frame in opened("icvl", made, rotated=True)}
    copies = [name for name in frames if name.count("/") == 2]
    assert len(copies) == 16 and {name.split("/")[0] for name in copies} == {"22-5", "90"}
    for name in copies:
        folder, original = name.split("/", 1)
        angle = torch.deg2rad(torch.tensor(float(folder.replace("-", "."))))
        (x, y, z), c, s = frames[original].joints.unbind(-1), angle.cos(), angle.sin()
        expected = torch.stack([c * x - s * y, s * x + c * y, z], -1)
        assert (
            frames[name].joints - expected
        ).abs().max() < 4e-3  # both were written to a thousandth of a pixel
        assert (
            frames[name].centre
            - expected.mean(0)
            - (frames[original].centre - frames[original].joints.mean(0))
            @ torch.tensor([[c, s, 0], [-s, c, 0], [0, 0, 1]])
        ).abs().max() < 4e-3
        # the exact quarter turn loses no pixel that stays in the image
        if folder == "90":
            middle = frames[original].depth[
                1:240, 41:280
            ]  # the square about the principal point (160, 120)
            assert torch.equal(frames[name].depth[1:240, 41:280], middle.T.flip(1))


def test_synthetic_frames_are_those_of_the_generator(made):
    layout = import_module("data_scripts.formats.icvl")
    frames = opened("icvl", made)
    rendered = synth.frames(
        [3],
        seed=5,
        setup="icvl",
        subjects=[1],
        distribution=import_module("data_scripts.formats").distribution(
            "wide_view", False, layout.CHANGES
        ),
    )
    assert frames[3].id == "201403121136/image_0001"
    assert torch.equal(frames[3].depth, rendered.depth[0].round())
    assert (frames[3].joints - rendered.joints[0]).abs().max() < 2e-3
    assert (frames[3].centre - rendered.centre[0]).abs().max() < 2e-4


@pytest.mark.parametrize("centre", ["mass", "outline", "stored", "true"])
def test_synthetic_frames_can_be_prepared(made, centre):
    test = opened("icvl", made, split="test")
    crops = prepare.batch(test.frames(range(len(test))), 250.0, centre)
    assert ((prepare.image(crops, 64) < 1).double().mean((1, 2, 3)) > 0.02).all()
    assert (xyz_to_uvd(crops.centre, crops.camera)[:, :2] > 0).all()


# --- what is refused ----------------------------------------------------------


@pytest.mark.parametrize(
    "options, message",
    [
        ({"split": "dev"}, "unknown split 'dev': accepted are train, validation, test, all"),
        ({"split": "validation"}, "validation None: accepted is a share"),
        ({"validation": 1.0}, "validation 1.0: accepted is a share"),
    ],
)
def test_unknown_names_are_refused(small, options, message):
    with pytest.raises(HandPoseError, match=message):
        opened("icvl", small, **options)


LINE = b"2014/image_0000.png " + b"160 120 400 " * 16


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "no frames"),
        (
            b"22-5/image_0000.png " + b"160 120 400 " * 16,
            "no frames in folders that begin with 2014",
        ),
        (LINE[:-8], "frame 1: 46 numbers; accepted are 48"),
        (LINE + b"1 2 3", "frame 1: 51 numbers"),  # one more joint is another skeleton
        (LINE + b"1 2\n" + LINE.replace(b"0000", b"0001") + b"1 2 3 4", "frame 2: 52 numbers"),
        (LINE.replace(b"160", b"one", 1), "frame 1: .*one.*accepted are numbers"),
        (LINE.replace(b"400", b"nan", 1), "2014/image_0000.png has a joint that is not finite"),
        (LINE.replace(b"400", b"-400", 1), "not in front of the camera"),
        (LINE + b"\n" + LINE, "2014/image_0000.png occurs twice"),
        (LINE.replace(b"/image", b"/../../image"), "accepted is the path of a PNG below `Depth`"),
        (b"2014/" + LINE.replace(b"2014/", b"/"), "accepted is the path of a PNG below `Depth`"),
        (LINE.replace(b".png", b".bin"), "accepted is the path of a PNG below `Depth`"),
    ],
)
def test_damaged_labels_are_named(tmp_path, content, message):
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"labels.txt.*{message}"):
        icvl.read_labels(path, originals=True)


def test_copies_that_are_not_asked_for_are_not_looked_at(tmp_path):
    (tmp_path / "labels.txt").write_bytes(LINE + b"\n22-5/image_0000.png no numbers\n")
    labels = icvl.read_labels(tmp_path / "labels.txt", originals=True)
    assert labels.names == ["2014/image_0000.png"] and labels.count == 2
    with pytest.raises(DataError, match="labels.txt, frame 2"):
        icvl.read_labels(tmp_path / "labels.txt")


@pytest.mark.parametrize(
    "content, message",
    [
        (png(320, 240, 8, 0, [bytes(320)] * 240), "a PNG of kind 'L' and 320×240"),
        (
            png(640, 480, 16, 0, [bytes(1280)] * 480),
            "a PNG of kind .* and 640×480 pixels; .* 320×240",
        ),
        (png(320, 240, 16, 0, [bytes(640)] * 240)[:-20], "not a whole PNG"),
    ],
)
def test_damaged_images_are_named(tmp_path, content, message):
    (tmp_path / "image_0000.png").write_bytes(content)
    with pytest.raises(DataError, match=f"image_0000.png: {message}"):
        icvl.read_frame(tmp_path / "image_0000.png")


def test_missing_things_are_named(tmp_path):
    with pytest.raises(
        DataError, match="nowhere: no such folder; ICVL needs .*make_synthetic --format icvl"
    ):
        opened("icvl", tmp_path / "nowhere")
    with pytest.raises(DataError, match="Training/labels.txt: cannot be read"):
        opened("icvl", tmp_path)
    (tmp_path / "Training").mkdir()
    icvl.write_labels(tmp_path / "Training" / "labels.txt", NAMES, joints(5))
    with pytest.raises(DataError, match="none of the listed images is there"):
        opened("icvl", tmp_path)
    with pytest.raises(
        HandPoseError, match=r"joints of shape \(1, 21, 3\): accepted is \(1, 16, 3\)"
    ):
        icvl.write_labels(tmp_path / "f", NAMES[:1], np.zeros((1, 21, 3)))
    with pytest.raises(HandPoseError, match=r"depth of shape \(4, 4\)"):
        icvl.write_frame(tmp_path / "f.png", np.zeros((4, 4)))


def test_mutated_labels_are_read_or_refused(tmp_path):
    icvl.write_labels(tmp_path / "whole.txt", NAMES, joints(5))
    content = (tmp_path / "whole.txt").read_bytes()
    fuzz(icvl.read_labels, tmp_path / "labels.txt", content)
    fuzz(
        lambda path: icvl.read_labels(path, originals=True),
        tmp_path / "labels.txt",
        content,
        count=500,
        seed=1,
    )


def test_mutated_images_are_read_or_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(
        icvl, "CAMERA", Camera(10.0, 10.0, 4.0, 3.0, 8, 6)
    )  # small, so that thousands take seconds
    content = png(8, 6, 16, 0, [bytes(range(16 * i, 16 * i + 16)) for i in range(6)])
    fuzz(icvl.read_frame, tmp_path / "image_0000.png", content)
