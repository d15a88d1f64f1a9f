"""HANDS2017: its files byte by byte, both ways; its protocol; everything that may be wrong."""

import json
import shutil
from importlib import import_module

import numpy as np
import pytest
import torch

from handpose_lib import prepare
from handpose_lib.camera import xyz_to_uvd
from handpose_lib.dataset_specs import preset
from handpose_lib.datasets import centres, hands17
from handpose_lib.errors import DataError, HandPoseError
from tests.support.data_folders import made_with, opened, png
from tests.support.fuzzing import fuzz


def joints(count=1, seed=0):
    spread = torch.rand(count, 21, 3, generator=torch.Generator().manual_seed(seed)) - 0.5
    return spread * torch.tensor([200.0, 200.0, 100.0]) + torch.tensor([0.0, 0.0, 600.0])


def write_part(root, part, xyz, labels=True):
    """Frames whose depth is 500 + number, so that each tells which one it is."""
    place, names = root / hands17.PARTS[part], [hands17.frame_name(i) for i in range(len(xyz))]
    (place / "images").mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        hands17.write_frame(place / "images" / name, np.full((480, 640), 500.0 + i))
    if labels:
        hands17.write_annotations(place / hands17.LABELS[part], names, xyz.numpy())
    if part == "test":
        hands17.write_boxes(
            place / hands17.BOXES, names, np.tile([10.0, 20.0, 200.0, 150.0], (len(names), 1))
        )


@pytest.fixture
def small(tmp_path):
    """A set in the layout of HANDS2017 with ten training frames and three test frames without
    labels.
    """
    write_part(tmp_path, "train", joints(10))
    write_part(tmp_path, "test", joints(3, 1), labels=False)
    return tmp_path


# --- the format ---------------------------------------------------------------


def test_image_is_read_as_the_format_says(tmp_path):
    """Sixteen bits, the high byte first as PNG has them, in mm, 0 = nothing."""
    rows = [bytearray(2 * 640) for _ in range(480)]
    rows[7][2 * 30 : 2 * 30 + 2] = (1234).to_bytes(2, "big")
    rows[479][-2:] = b"\xff\xff"
    path = tmp_path / "image_D00000001.png"
    path.write_bytes(png(640, 480, 16, 0, rows))
    depth = hands17.read_frame(path)
    assert (
        depth.dtype == np.float32
        and depth[7, 30] == 1234
        and depth[479, 639] == 65535
        and np.count_nonzero(depth) == 2
    )


def test_lines_are_read_as_the_format_says(tmp_path):
    """Tabs, blanks and line ends of any kind; y stays down, z stays forward."""
    path = tmp_path / "Training_Annotation.txt"
    values = [f"{v}" for v in np.arange(63) + 1.5]
    path.write_bytes(
        (
            "image_D00000007.png\t"
            + "\t".join(values)
            + "\r\n\n"
            + "image_D00000002.png "
            + "  ".join(values)
        ).encode()
    )
    names, xyz = hands17.read_annotations(path)
    assert names == ["image_D00000007.png", "image_D00000002.png"]
    assert (
        xyz.dtype == torch.float32
        and xyz[1, 20].tolist() == [61.5, 62.5, 63.5]
        and torch.equal(xyz[0], xyz[1])
    )
    path.write_bytes(b"image_D00000001.png\t12.5\t30\t100\t120\n")
    names, boxes = hands17.read_boxes(path)
    assert names == ["image_D00000001.png"] and boxes.tolist() == [[12.5, 30, 100, 120]]


def test_files_count_from_one():
    assert (
        hands17.frame_name(0) == "image_D00000001.png"
        and hands17.frame_name(957_031) == "image_D00957032.png"
    )


def test_what_is_written_is_read(tmp_path):
    xyz, depth = joints(4), np.arange(480 * 640, dtype=np.float32).reshape(480, 640) % 60000
    hands17.write_annotations(
        tmp_path / "a.txt", [hands17.frame_name(i) for i in range(4)], xyz.numpy()
    )
    # four decimals, half of the last, and float32 at 650 mm
    assert (hands17.read_annotations(tmp_path / "a.txt")[1] - xyz).abs().max() < 5e-5 + 6e-5
    hands17.write_frame(tmp_path / "f.png", depth)
    assert (hands17.read_frame(tmp_path / "f.png") == depth).all()
    hands17.write_frame(tmp_path / "f.png", np.full((480, 640), 70000.4))
    assert (hands17.read_frame(tmp_path / "f.png") == 65535).all()


def test_long_lists_are_read_in_pieces(tmp_path, monkeypatch):
    names, xyz = [hands17.frame_name(i) for i in range(50)], joints(50)
    hands17.write_annotations(tmp_path / "a.txt", names, xyz.numpy())
    whole = hands17.read_annotations(tmp_path / "a.txt")
    monkeypatch.setattr(hands17, "LINES", 1)
    pieces = hands17.read_annotations(tmp_path / "a.txt")
    assert pieces[0] == whole[0] == names and torch.equal(pieces[1], whole[1])


def test_the_principal_point_is_not_the_middle():
    """A point on the axis is seen where the card says, zero-based."""
    u, v, _ = xyz_to_uvd(torch.tensor([[0.0, 0.0, 500.0]]), hands17.CAMERA)[0].tolist()
    assert (u, v) == pytest.approx((315.944855, 245.287079)) and preset("hands17") == hands17.CAMERA


# --- the set ------------------------------------------------------------------


def test_splits(small):
    train, test, both = (
        opened("hands17", small, split=split) for split in ("train", "test", "all")
    )
    assert (len(train), len(test), len(both)) == (10, 3, 13)
    assert [frame.depth[0, 0].item() for frame in train] == [500.0 + i for i in range(10)]
    assert train[3].id == "training/image_D00000004" and test[0].id == "frame/image_D00000001"
    assert torch.equal(train.joints(), torch.stack([frame.joints for frame in train]))
    assert test[0].joints is None and test.boxes.shape == (3, 4) and train.boxes is None
    with pytest.raises(
        HandPoseError, match="test frames of hands17 have no joints.*Test_Annotation.txt"
    ):
        test.joints()
    rest, held = (
        opened("hands17", small, split=split, validation=0.2) for split in ("train", "validation")
    )
    assert (len(rest), len(held)) == (8, 2) and held[0].id == "training/image_D00000009"
    assert train.fingerprint == test.fingerprint and len(train.fingerprint) == 16


def test_given_test_labels_are_read(small):
    xyz = joints(3, 5)
    names = [hands17.frame_name(i) for i in range(3)]
    hands17.write_annotations(small / "frame" / "Test_Annotation.txt", names, xyz.numpy())
    assert (opened("hands17", small, split="test").joints() - xyz).abs().max() < 1.1e-4
    hands17.write_annotations(small / "frame" / "Test_Annotation.txt", names[::-1], xyz.numpy())
    with pytest.raises(
        DataError, match="Test_Annotation.txt: other frames than in BoundingBox.txt"
    ):
        opened("hands17", small, split="test")


def test_frames_without_an_image_are_left_out_and_counted(small):
    (small / "training" / "images" / hands17.frame_name(4)).unlink()
    train = opened("hands17", small)
    assert (
        len(train) == 9
        and train.protocol["listed without an image"] == 1
        and "listed without an image 1" in train.describe()
    )
    listed = hands17.read_part(small, "train")[1]
    assert listed is not None
    assert train[4].depth[0, 0] == 505 and train[4].joints.equal(listed[5])


def test_published_reference_points(small, tmp_path):
    points = np.tile([1.0, 2.0, 600.0], (10, 1))
    points[4] = np.nan
    centres.write(tmp_path / "center_train_refined.txt", points, hands17.TO_MM)
    train = opened("hands17", small, centres=tmp_path)
    assert (
        len(train) == 9
        and train[4].id == "training/image_D00000006"
        and train[4].centre.tolist() == [1, 2, 600]
    )
    assert train.protocol["centres"] == "published" and opened("hands17", small)[0].centre is None
    centres.write(tmp_path / "center_train_refined.txt", points[:9], hands17.TO_MM)
    with pytest.raises(DataError, match="9 reference points for 10 frames"):
        opened("hands17", small, centres=tmp_path)


def test_fingerprint_sees_a_changed_label(small):
    before = opened("hands17", small).fingerprint
    path = small / "training" / "Training_Annotation.txt"
    path.write_bytes(path.read_bytes().replace(b"image_D00000010", b"image_D00000011"))
    (small / "training" / "images" / hands17.frame_name(9)).rename(
        small / "training" / "images" / hands17.frame_name(10)
    )
    assert opened("hands17", small).fingerprint != before


# --- a synthetic set from end to end ------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return made_with("hands17", 12, tmp_path_factory.mktemp("synthetic") / "hands17")


def test_synthetic_set(made):
    train, test = (opened("hands17", made, split=split) for split in ("train", "test"))
    assert (
        (len(train), len(test)) == (12, 3)
        and train.synthetic
        and train.settings()["protocol"] == "hands17"
    )
    for frames in (train, test):
        shares = [
            import_module("data_scripts.support.checking").on_surface(
                frame.depth, frame.joints, frame.camera
            )
            for frame in frames
        ]
        assert (
            torch.stack(shares).mean() > 0.7
        )  # a hand hides some of its own joints; a wrong sign would leave almost none
    layout = import_module("data_scripts.formats").get("hands17")
    rendered = import_module("data_scripts.formats.hands17").render([13], "test", train.settings())
    assert test[1].depth.equal(rendered.depth[0].round()) and layout.total(train.settings()) == 15
    assert (test[1].joints - rendered.joints[0]).abs().max() < 1.2e-4 and (
        test[1].centre - rendered.centre[0]
    ).abs().max() < 1.2e-4
    crops = prepare.batch(test.frames(range(3)), 250.0, "stored")
    assert ((prepare.image(crops, 64) < 1).double().mean((1, 2, 3)) > 0.02).all()


def test_boxes_of_the_synthetic_set_hold_the_joints(made):
    test = opened("hands17", made, split="test")
    uv = xyz_to_uvd(test.joints(), test.camera)[..., :2]
    low, high = test.boxes[:, None, :2], test.boxes[:, None, :2] + test.boxes[:, None, 2:]
    seen = (uv >= 0) & (uv <= torch.tensor([639.0, 479.0]))
    assert ((uv >= low - 0.01) & (uv <= high + 0.01))[seen].all()


def test_check_finds_what_is_missing_and_damaged(made, tmp_path, capsys):
    script = import_module("data_scripts.hands17")
    run = import_module("data_scripts.support.checking").run
    root = shutil.copytree(made, tmp_path / "set")
    assert run(script.__doc__, "hands17", script.inspect, ["--root", str(root), "--check"]) == 0
    assert f"fingerprint {opened('hands17', made).fingerprint}" in capsys.readouterr().out
    images = root / "training" / "images"
    (images / hands17.frame_name(3)).unlink()
    (images / hands17.frame_name(5)).write_bytes((images / hands17.frame_name(5)).read_bytes()[:-9])
    corners = np.array([[400.0, 300.0, 500.0, 400.0]] * 3)
    hands17.write_boxes(
        root / "frame" / hands17.BOXES, [hands17.frame_name(i) for i in range(3)], corners
    )
    assert run(script.__doc__, "hands17", script.inspect, ["--root", str(root), "--check"]) == 1
    faults = capsys.readouterr().err
    assert (
        f"missing: {images / hands17.frame_name(3)}" in faults
        and f"damaged: {images / hands17.frame_name(5)}" in faults
    )
    assert "100% of the boxes reach out of the image" in faults
    assert run(script.__doc__, "hands17", script.inspect, ["--root", str(tmp_path / "none")]) == 1
    assert "icvl.ee.ic.ac.uk/hands17" in capsys.readouterr().err


# --- what is refused ----------------------------------------------------------

LINE = b"image_D00000001.png " + b"1 2 300 " * 21 + b"\n"


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (LINE[:-10] + b"\n", "accepted are a file name such as image_D00000001.png and 63 numbers"),
        (LINE.replace(b"\n", b" 1\n"), "65 fields"),
        (LINE.replace(b"2", b"two", 3), "accepted are a file name|accepted are numbers"),
        (LINE.replace(b" 2 ", b" two ", 1), "accepted are numbers"),
        (LINE.replace(b" 2 ", b" nan ", 1), "image_D00000001.png has a joint that is not finite"),
        (LINE.replace(b"300", b"-300", 1), "not in front of the camera"),
        (LINE * 2, "image_D00000001.png occurs twice"),
        (b"../" + LINE, "first b'../image"),
        (LINE.replace(b"image_", b"C:image_"), "accepted are a file name"),
    ],
)
def test_damaged_lists_are_named(tmp_path, content, message):
    path = tmp_path / "Training_Annotation.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"Training_Annotation.txt.*({message})"):
        hands17.read_annotations(path)


@pytest.mark.parametrize("box", [b"1 2 0 4", b"1 2 3 -4", b"1 2 nan 4", b"1 2 3", b"1 2 3 1e9"])
def test_bad_boxes_are_named(tmp_path, box):
    (tmp_path / "BoundingBox.txt").write_bytes(b"image_D00000001.png " + box)
    with pytest.raises(DataError, match="BoundingBox.txt.*(left, top, width)"):
        hands17.read_boxes(tmp_path / "BoundingBox.txt")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"split": "dev"}, "unknown split 'dev'"),
        ({"split": "validation"}, "validation None: accepted is a share"),
        ({"validation": 3}, "validation 3: accepted is a share"),
        ({"validation": 1.5}, "validation 1.5"),
    ],
)
def test_unknown_options_are_refused(small, options, message):
    with pytest.raises(HandPoseError, match=message):
        opened("hands17", small, **options)


def test_missing_things_are_named(tmp_path, small):
    named = "nowhere: no such folder; HANDS2017 needs.*data_scripts.hands17"
    with pytest.raises(DataError, match=named):
        opened("hands17", tmp_path / "nowhere")
    with pytest.raises(DataError, match="image.png: missing"):
        hands17.read_frame(tmp_path / "image.png")
    for path in (small / "training" / "images").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="none of the listed images is there"):
        opened("hands17", small)
    (small / "training" / "Training_Annotation.txt").unlink()
    with pytest.raises(DataError, match="Training_Annotation.txt: cannot be read"):
        opened("hands17", small)


def test_synthetic_reference_points_belong_to_synthetic_sets(small):
    """A file of that name in a real set is not ours, and is not read."""
    centres.write(
        small / "training" / "centre.txt", np.tile([1.0, 2.0, 600.0], (10, 1)), hands17.TO_MM
    )
    assert opened("hands17", small)[0].centre is None
    (small / "synthetic.json").write_text(json.dumps({"seed": 0}))
    assert opened("hands17", small)[0].centre.tolist() == [1, 2, 600]


def test_thousands_of_damaged_lists(tmp_path):
    names = [hands17.frame_name(i) for i in range(3)]
    hands17.write_annotations(tmp_path / "Training_Annotation.txt", names, joints(3).numpy())
    fuzz(
        hands17.read_annotations,
        tmp_path / "Training_Annotation.txt",
        (tmp_path / "Training_Annotation.txt").read_bytes(),
    )
    hands17.write_boxes(
        tmp_path / "BoundingBox.txt", names, np.tile([10.0, 20.0, 200.0, 150.0], (3, 1))
    )
    fuzz(
        hands17.read_boxes,
        tmp_path / "BoundingBox.txt",
        (tmp_path / "BoundingBox.txt").read_bytes(),
    )


def test_thousands_of_damaged_images(tmp_path):
    depth = np.zeros((480, 640))
    depth[200:210, 300:310] = np.arange(100).reshape(10, 10) + 500
    hands17.write_frame(tmp_path / "image_D00000001.png", depth)
    fuzz(
        hands17.read_frame,
        tmp_path / "image_D00000001.png",
        (tmp_path / "image_D00000001.png").read_bytes(),
    )
