"""Data sets on disk: MSRA's layout byte by byte, both ways, and everything that may be wrong with
it.
"""

import json
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from handpose_lib import datasets, prepare
from handpose_lib.camera import Camera, uvd_to_xyz, xyz_to_uvd
from handpose_lib.dataset_specs import preset
from handpose_lib.datasets import centres as centre_files
from handpose_lib.datasets import msra
from handpose_lib.errors import DataError, HandPoseError
from tests.support.data_folders import opened
from tests.support.fuzzing import fuzz

# Three pixels of a window of 3×2 at column 100, row 50, written out by hand: 1.5, 2.5 and 500 mm.
HAND_BUILT = bytes.fromhex(
    "40010000 f0000000 64000000 32000000 67000000 34000000"
    "0000c03f 00000000 00002040 00000000 00000000 0000fa43"
)


def joints(count=1, seed=0):
    """(count, 21, 3) mm at whole pixels of MSRA's camera, so that a pixel can be drawn at each."""
    generator = torch.Generator().manual_seed(seed)
    uv = torch.stack(
        (
            torch.randint(120, 200, (count, 21), generator=generator),
            torch.randint(70, 150, (count, 21), generator=generator),
        ),
        -1,
    )
    d = torch.randint(400, 600, (count, 21, 1), generator=generator)
    return uvd_to_xyz(torch.cat((uv, d), -1).float(), preset("msra"))


def drawn(xyz):
    """The image of one hand whose every joint is one bright pixel of its own depth."""
    depth = np.zeros((240, 320), np.float32)
    for u, v, d in xyz_to_uvd(xyz, preset("msra")).tolist():
        depth[round(v), round(u)] = d
    return depth


def write_gesture(place, xyz):
    place.mkdir(parents=True)
    for i, hand in enumerate(xyz):
        msra.write_frame(place / msra.frame_name(i), drawn(hand))
    msra.write_joints(place / "joint.txt", xyz.numpy())


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A whole set in MSRA's layout with one frame per gesture, two for P8."""
    root = tmp_path_factory.mktemp("msra")
    for subject in range(9):
        for gesture in msra.GESTURES:
            write_gesture(root / f"P{subject}" / gesture, joints(1 + (subject == 8), seed=subject))
    return root


# --- the format ---------------------------------------------------------------


def test_hand_built_frame_is_read_as_the_format_says(tmp_path):
    """Byte order, exclusive right and bottom, order of the header, row by row: independent of our
    writer.
    """
    path = tmp_path / "000000_depth.bin"
    path.write_bytes(HAND_BUILT)
    depth = msra.read_frame(path)
    assert depth.shape == (240, 320) and depth.dtype == np.float32
    rows, columns = depth.nonzero()
    assert list(zip(rows, columns)) == [(50, 100), (50, 102), (51, 102)]
    assert depth[rows, columns].tolist() == [1.5, 2.5, 500.0]


def test_writer_makes_the_hand_built_bytes(tmp_path):
    path = tmp_path / "000000_depth.bin"
    depth = np.zeros((240, 320), np.float32)
    depth[50, 100], depth[50, 102], depth[51, 102] = 1.5, 2.5, 500
    msra.write_frame(path, depth)
    assert path.read_bytes() == HAND_BUILT


def test_hand_built_joints_turn_y_down_and_z_forward(tmp_path):
    path = tmp_path / "joint.txt"
    path.write_bytes(
        b"2\r\n" + b"10.5 20 -300 " * 21 + b"\r\n" + b"\t".join([b"-1 -2 -3e2"] * 21) + b"\n"
    )
    xyz = msra.read_joints(path)
    assert xyz.shape == (2, 21, 3) and xyz.dtype == torch.float32
    assert xyz[0].unique(dim=0).tolist() == [[10.5, -20, 300]] and xyz[1].unique(
        dim=0
    ).tolist() == [[-1, 2, 300]]


def test_joints_survive_writing_and_reading(tmp_path):
    xyz = joints(5)
    msra.write_joints(tmp_path / "joint.txt", xyz.numpy())
    # four decimals, half of the last, and float32 at 600 mm
    assert (msra.read_joints(tmp_path / "joint.txt") - xyz).abs().max() < 5e-5 + 6e-5


def test_full_and_empty_images_survive(tmp_path):
    path = tmp_path / "f.bin"
    for depth in (
        np.zeros((240, 320), np.float32),
        np.arange(76800, dtype=np.float32).reshape(240, 320),
    ):
        msra.write_frame(path, depth)
        assert (msra.read_frame(path) == depth).all()


def test_joints_lie_on_their_pixels(small):
    """The conversion at the door is right: every joint projects onto the pixel that was drawn for
    it.
    """
    frame = opened("msra", small, split="test")[0]
    u, v, d = xyz_to_uvd(frame.joints, frame.camera).unbind(-1)
    seen = frame.depth[v.round().long(), u.round().long()]
    # two joints may share a pixel; the one drawn last is seen
    assert ((seen - d).abs() < 0.01).sum() >= 19 and (seen > 0).all()
    assert (u - u.round()).abs().max() < 1e-3 and (v - v.round()).abs().max() < 1e-3


# --- the set ------------------------------------------------------------------


def test_splits_leave_one_subject_out(small):
    train, test, both = (
        opened("msra", small, split=split, subject=8) for split in ("train", "test", "all")
    )
    assert (len(train), len(test), len(both)) == (8 * 17, 2 * 17, 10 * 17)
    assert train.subjects.unique().tolist() == list(
        range(8)
    ) and test.subjects.unique().tolist() == [8]
    assert len(opened("msra", small, split="test", subject=0)) == 17
    options = {"subject": 8, "validation": 3}
    train_less, validation = (
        opened("msra", small, split=split, **options) for split in ("train", "validation")
    )
    assert (
        train_less.subjects.unique().tolist() == [0, 1, 2, 4, 5, 6, 7]
        and train_less.protocol["validation"] == 3
    )
    assert validation.subjects.unique().tolist() == [3] and len(train_less) + len(
        validation
    ) == len(train)
    assert train.fingerprint == test.fingerprint and len(train.fingerprint) == 16
    assert train.protocol["split"] == "train" and train.protocol["subject"] == 8


def test_order_is_subject_gesture_frame(small):
    names = [frame.id for frame in opened("msra", small, split="test", gestures=["Y", "1"])]
    assert names == ["P8/Y/000000", "P8/Y/000001", "P8/1/000000", "P8/1/000001"]
    assert opened("msra", small, split="all")[-1].id == "P8/Y/000001"


def test_joints_without_reading_images(small):
    test = opened("msra", small, split="test")
    assert torch.equal(
        test.joints(), torch.stack([frame.joints for frame in test.frames(range(len(test)))])
    )
    assert test.skeleton.name == "msra21" and test.camera == preset("msra")


def test_frames_go_through_preparation(small):
    test = opened("msra", small, split="test")
    crops = prepare.batch(test.frames([3, 1]), 250.0, centre="true")
    assert crops.ids == ["P8/2/000001", "P8/1/000001"]
    with pytest.raises(IndexError, match="0 to 33"):
        test[34]


def test_synthetic_set_says_so(small, tmp_path):
    real = opened("msra", small)
    assert not real.synthetic and real.settings() == {} and "synthetic" not in real.describe()
    assert real.release == "unknown, 170 frames"
    (small / "synthetic.json").write_text(json.dumps({"seed": 0, "frames": 1}))
    try:
        made = opened("msra", small)
        assert (
            made.synthetic
            and made.settings()["seed"] == 0
            and made.describe().startswith("synthetic")
        )
        assert made.release == "synthetic" and made.fingerprint != real.fingerprint
        (small / "synthetic.json").write_text(json.dumps({"frames": 1, "seed": 0}, indent=2))
        assert opened("msra", small).fingerprint == made.fingerprint  # content, not layout
    finally:
        (small / "synthetic.json").unlink()
    assert opened("msra", small).fingerprint == real.fingerprint


def test_fingerprint_sees_a_changed_label(tmp_path, small):
    before = opened("msra", small).fingerprint
    path = small / "P3" / "T" / "joint.txt"
    original = path.read_bytes()
    msra.write_joints(path, joints(1, seed=99).numpy())
    try:
        assert opened("msra", small, split="test").fingerprint != before
    finally:
        path.write_bytes(original)


@pytest.mark.parametrize(
    "counts, name",
    [
        ((8499, 8492, 8412, 8488, 8500, 8497, 8497, 8498, 8492), "older, 76,375 frames"),
        ((8499, 8499, 8406, 8498, 8500, 8497, 8498, 8498, 8496), "newer, 76,391 frames"),
        ((8499, 8492, 8412, 8488, 8500, 8497, 8497, 8498, 8491), "unknown, 76,374 frames"),
    ],
)
def test_releases_are_told_apart_by_their_counts(tmp_path, counts, name):
    """The first lines of the label files decide, whatever split is opened: here nothing but these
    lines is there.
    """
    for subject, count in enumerate(counts):
        for number, gesture in enumerate(
            [
                "1",
                "2",
                "3",
                "4",
                "5",
                "6",
                "7",
                "8",
                "9",
                "I",
                "IP",
                "L",
                "MP",
                "RP",
                "T",
                "TIP",
                "Y",
            ]
        ):
            place = tmp_path / f"P{subject}" / gesture
            place.mkdir(parents=True)
            (place / "joint.txt").write_bytes(
                b"%d\r\n" % (count - 16 * 500 if number == 0 else 500)
            )
    found = msra.Msra.__new__(msra.Msra)
    found.root = tmp_path
    assert found.release == name


def test_faulty_frames_are_those_that_others_list():
    """DeepPrior++'s and JGR-P2O's code name them."""
    assert {place: list(frames) for place, frames in msra.FAULTY.items()} == {
        (2, "TIP"): [172, 173, 174],
        (2, "MP"): [173, 174, 175, 345, 346, 347, 348, 349, 350, 351, 352, 353, 354, 356, 359, 360],
        (3, "T"): [120, 489],
        (8, "4"): [168],
    }


def test_faulty_frames_of_a_real_set_are_left_out(small):
    place = small / "P3" / "T"
    one = (place / msra.frame_name(0)).read_bytes()
    for i in range(1, 122):
        (place / msra.frame_name(i)).write_bytes(one)
    original = (place / "joint.txt").read_bytes()
    msra.write_joints(place / "joint.txt", joints(122).numpy())
    try:
        options = {"split": "test", "subject": 3, "gestures": ["T"]}
        kept = [frame.id for frame in opened("msra", small, **options)]
        assert len(kept) == 121 and "P3/T/000120" not in kept and "P3/T/000121" in kept
        assert len(opened("msra", small, skip_faulty=False, **options)) == 122
    finally:
        (place / "joint.txt").write_bytes(original)
        for i in range(1, 122):
            (place / msra.frame_name(i)).unlink()


def test_files_that_systems_leave_behind_are_no_frames(small):
    """Finder, Explorer and archives of macOS put them beside the frames."""
    place = small / "P0" / "1"
    left = ["._000000_depth.bin", "._joint.txt", ".DS_Store", "Thumbs.db", "desktop.ini"]
    expected, _ = msra.read_gesture(place)
    try:
        for name in left:
            (place / name).write_bytes(b"\0\5\x16\7")
        assert msra.read_gesture(place)[0] == expected
    finally:
        for name in left:
            (place / name).unlink(missing_ok=True)


def test_published_centres_fit_a_fold_and_have_y_up_and_z_forward(small, tmp_path):
    """One file per fold, in the order subject, gesture, frame; `invalid` frames are left out."""
    lines = [f"{i} {2 * i} {300 + i}" for i in range(8 * 17)]
    lines[18] = "invalid"  # P1, second gesture
    (tmp_path / "center_train_8_refined.txt").write_text("\n".join(lines) + "\n")
    train = opened("msra", small, centres=tmp_path)
    assert len(train) == 8 * 17 - 1 and train.protocol["centres"] == "published"
    assert train[17].id == "P1/1/000000" and train[17].centre.tolist() == [17, -34, 317]
    assert train[18].id == "P1/3/000000" and train[18].centre.tolist() == [19, -38, 319]
    assert torch.equal(train.joints()[18], train[18].joints)
    # other selections find their own lines of the same file
    options = {"centres": tmp_path, "validation": 2, "gestures": ["Y", "3"]}
    validation = opened("msra", small, split="validation", **options)
    assert [frame.centre[0].item() for frame in validation] == [2 * 17 + 16, 2 * 17 + 2]
    assert opened("msra", small, **options)[-1].centre[0].item() == 7 * 17 + 2
    for subject in range(9):
        (tmp_path / f"center_test_{subject}_refined.txt").write_text(
            f"{subject} 0 400\n" * (34 if subject == 8 else 17)
        )
    both = opened("msra", small, split="all", centres=tmp_path)
    assert torch.equal(torch.stack([frame.centre[0] for frame in both]).long(), both.subjects)
    (tmp_path / "center_test_8_refined.txt").write_text("1 2 300\n" * 33)
    with pytest.raises(
        DataError, match="center_test_8_refined.txt: 33 reference points for 34 frames.*one release"
    ):
        opened("msra", small, split="test", centres=tmp_path)


# --- what is refused ----------------------------------------------------------


def test_mutated_frames_are_read_or_refused(tmp_path):
    fuzz(msra.read_frame, tmp_path / "000000_depth.bin", HAND_BUILT)


def test_mutated_labels_are_read_or_refused(tmp_path):
    msra.write_joints(tmp_path / "whole.txt", joints(3).numpy())
    fuzz(msra.read_joints, tmp_path / "joint.txt", (tmp_path / "whole.txt").read_bytes())


def test_mutated_centres_are_read_or_refused(tmp_path):
    content = b"1.5 -2 300\n" * 5 + b"invalid\n" + b"-20.25 3 412.5\n" * 5
    fuzz(
        lambda path: centre_files.read(path, 11, msra.CENTRE_SIGNS),
        tmp_path / "center_test_0_refined.txt",
        content,
    )


def header(width=320, height=240, left=100, top=50, right=103, bottom=52):
    return struct.pack("<6i", width, height, left, top, right, bottom)


PIXELS = struct.pack("<6f", *[500.0] * 6)


@pytest.mark.parametrize(
    "content, message",
    [
        (HAND_BUILT[:-1], "47 bytes; accepted are 48"),
        (HAND_BUILT + b"\0", "49 bytes; accepted are 48"),
        (HAND_BUILT[:20], "20 bytes; accepted is a header of 24"),
        (b"", "0 bytes"),
        (
            header(width=2**31 - 1, height=2**31 - 1, right=2**31 - 1, bottom=2**31 - 1) + PIXELS,
            "inside 320×240",
        ),
        (header(right=321) + PIXELS, "inside 320×240"),
        (header(left=-3, right=0) + PIXELS, "inside 320×240"),
        (header(left=103, right=100) + PIXELS, "inside 320×240"),
        (struct.pack(">6i", 320, 240, 100, 50, 103, 52) + PIXELS, "inside 320×240"),
        (header() + struct.pack("<6f", *[500.0] * 5, float("nan")), "NaN"),
        (header() + struct.pack("<6f", *[500.0] * 5, float("inf")), "infinite"),
        (header() + struct.pack("<6f", *[500.0] * 5, -500.0), "negative"),
    ],
)
def test_damaged_frame_is_named(tmp_path, content, message):
    path = tmp_path / "000007_depth.bin"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"000007_depth.bin: .*{message}"):
        msra.read_frame(path)


def test_oversized_frame_is_not_read(tmp_path):
    """A sparse file of a terabyte behind a sound header costs neither memory nor time."""
    path = tmp_path / "000000_depth.bin"
    with path.open("wb") as file:
        file.write(HAND_BUILT)
        file.truncate(2**34)
    with pytest.raises(DataError, match="17179869184 bytes; accepted are 48"):
        msra.read_frame(path)


LINE = b"1 2 -300 " * 21 + b"\n"


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "empty"),
        (b"one\n" + LINE, "first line is b'one'"),
        (b"-1\n", "first line"),
        (b"99999999999999999999\n" + LINE, "first line"),
        (b"2\n" + LINE, "says 2 frames, 1 lines follow"),
        (b"1\n" + LINE * 2, "says 1 frames, 2 lines follow"),
        (b"2\n" + LINE + b"1 2 -300\n", "line 3: 3 numbers; accepted are 63"),
        (b"1\n" + LINE.replace(b"2", b"two", 1), "accepted are numbers"),
        (b"1\n" + LINE.replace(b"2", b"nan", 1), "line 2: a joint that is not finite"),
        (b"1\n" + LINE.replace(b"-300", b"300", 1), "not in front of the camera"),
    ],
)
def test_damaged_labels_are_named(tmp_path, content, message):
    path = tmp_path / "joint.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"joint.txt.*{message}"):
        msra.read_joints(path)


def test_labels_and_frames_must_be_as_many(tmp_path):
    write_gesture(tmp_path / "P8" / "1", joints(3))
    options = {"root": tmp_path, "split": "test", "gestures": ["1"]}
    assert len(opened("msra", **options)) == 3
    extra = tmp_path / "P8" / "1" / msra.frame_name(4)
    extra.write_bytes(HAND_BUILT)
    with pytest.raises(DataError, match=r"joint.txt: 3 frames, but the folder has 4"):
        opened("msra", **options)
    (tmp_path / "P8" / "1" / msra.frame_name(1)).unlink()
    with pytest.raises(DataError, match=r"000002_depth.bin: accepted is 000001_depth.bin"):
        opened("msra", **options)


def test_reference_points_lie_beside_the_joints_if_at_all(tmp_path):
    xyz, options = joints(2), {"root": tmp_path, "split": "test", "gestures": ["1"]}
    write_gesture(tmp_path / "P8" / "1", xyz)
    assert opened("msra", **options)[0].centre is None
    centres = xyz.mean(1, keepdim=True) + 5
    msra.write_joints(tmp_path / "P8" / "1" / "centre.txt", centres.numpy(), points=1)
    crops = prepare.batch(opened("msra", **options).frames([0, 1]), 250.0, "stored")
    assert (crops.centre - centres[:, 0]).abs().max() < 1.2e-4  # four decimals, float32
    msra.write_joints(tmp_path / "P8" / "1" / "centre.txt", centres[:1].numpy(), points=1)
    with pytest.raises(DataError, match="centre.txt: 1 reference points for 2 frames"):
        opened("msra", **options)


def test_missing_things_are_named(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder.*make_synthetic"):
        opened("msra", tmp_path / "nowhere")
    with pytest.raises(DataError, match="P0/1.*no such folder"):
        opened("msra", tmp_path)
    (tmp_path / "P8" / "1").mkdir(parents=True)
    with pytest.raises(DataError, match="joint.txt: missing"):
        opened("msra", tmp_path, split="test")
    with pytest.raises(DataError, match="missing; accepted is an MSRA depth frame"):
        msra.read_frame(tmp_path / "000000_depth.bin")
    with pytest.raises(DataError, match="sr305 needs.*fetch_sr305"):
        opened("sr305", tmp_path / "nowhere")
    with pytest.raises(DataError, match="no .*png.*fetch_sr305"):
        opened("sr305", tmp_path)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("mrsa", {}, "unknown data set 'mrsa': accepted are msra, nyu, icvl, "),
        (
            "msra",
            {"split": "dev"},
            "unknown split 'dev': accepted are train, validation, test, all",
        ),
        ("msra", {"split": "validation"}, "unknown validation subject None: accepted are 0, 1"),
        (
            "msra",
            {"validation": 8},
            "unknown validation subject 8: accepted are 0, 1, 2, 3, 4, 5, 6, 7$",
        ),
        ("msra", {"subject": 9}, "unknown subject 9: accepted are 0, 1"),
        ("msra", {"gestures": ["fist"]}, "unknown gesture 'fist': accepted are 1, 2"),
    ],
)
def test_unknown_names_are_refused(small, name, options, message):
    with pytest.raises(HandPoseError, match=message):
        opened(name, small, **options)


def test_broken_settings_are_named(small):
    path = small / "synthetic.json"
    for content in ("[]", "{", "\xff"):
        path.write_text(content, encoding="latin-1")
        with pytest.raises(DataError, match="synthetic.json: accepted is a JSON object"):
            _ = opened("msra", small).fingerprint
    path.unlink()


def test_frame_without_a_hand_is_named_by_locate(tmp_path):
    write_gesture(tmp_path / "P8" / "1", joints(2))
    msra.write_frame(tmp_path / "P8" / "1" / msra.frame_name(1), np.zeros((240, 320), np.float32))
    test = opened("msra", tmp_path, split="test", gestures=["1"])
    with pytest.raises(HandPoseError, match="P8/1/000001"):
        prepare.batch(test.frames([0, 1]), 250.0)


# --- depth images of one's own ------------------------------------------------


def write_png(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def test_sr305_frames_are_in_mm_and_in_order(tmp_path):
    values = np.zeros((480, 640), np.uint16)
    values[100, 200] = 4001
    for number in ("100", "20", "0"):
        write_png(tmp_path / "20210326-231615" / f"{number}.png", values)
    (tmp_path / "20210326-231615" / "._0.png").write_bytes(b"left by another system")
    frames = opened("sr305", tmp_path)
    assert [frame.id for frame in frames] == [
        f"20210326-231615/{number}" for number in (0, 20, 100)
    ]
    assert frames[0].depth[100, 200] == 500.125 and frames[0].depth.count_nonzero() == 1
    assert frames[0].joints is None and frames.skeleton is None and not frames.synthetic
    with pytest.raises(HandPoseError, match="no joints"):
        frames.joints()


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_own_depth_image(tmp_path, dtype):
    path = tmp_path / ("mine.png" if dtype == np.uint16 else "mine.tiff")
    values = np.arange(12, dtype=dtype).reshape(3, 4)
    write_png(path, values)
    frame = datasets.read_depth_image(path, 0.5, Camera(5, 5, 2, 1, 4, 3), hand="left")
    assert (
        frame.depth.tolist() == (values * 0.5).tolist()
        and frame.hand == "left"
        and frame.id == "mine"
    )


def test_own_depth_image_that_does_not_fit_is_refused(tmp_path):
    camera, path = Camera(5, 5, 2, 1, 4, 3), tmp_path / "mine.png"
    with pytest.raises(DataError, match="mine.png: missing"):
        datasets.read_depth_image(path, 1, camera)
    write_png(path, np.zeros((4, 3), np.uint16))
    with pytest.raises(DataError, match="mine.png: 3×4 pixels, but the camera's image is 4×3"):
        datasets.read_depth_image(path, 1, camera)
    write_png(path, np.zeros((3, 4, 3), np.uint8))
    with pytest.raises(
        DataError, match="mine.png: a picture of mode 'RGB'; accepted is one channel of 16 or 32"
    ):
        datasets.read_depth_image(path, 1, camera)
    write_png(path, np.zeros((3, 4), np.uint16))
    whole = path.read_bytes()
    for content in (whole[:-30], whole[:40], b"no image", b""):
        path.write_bytes(content)
        with pytest.raises(DataError, match="mine.png: not a readable image"):
            datasets.read_depth_image(path, 1, camera)
    path.write_bytes(whole)
    for unit in (0, -1, float("nan"), float("inf")):
        with pytest.raises(HandPoseError, match="unit"):
            datasets.read_depth_image(path, unit, camera)
    with pytest.raises(HandPoseError, match="focal"):
        Camera(0, 5, 2, 1, 4, 3)
    (tmp_path / "mine.gif").write_bytes(
        b"GIF89a\4\0\3\0\0\0\0"
    )  # only formats that can hold depth are tried
    with pytest.raises(DataError, match="mine.gif: not a readable image"):
        datasets.read_depth_image(tmp_path / "mine.gif", 1, camera)
    values = np.full((3, 4), -1, np.float32)
    write_png(tmp_path / "mine.tiff", values)
    with pytest.raises(DataError, match="negative"):
        datasets.read_depth_image(tmp_path / "mine.tiff", 1, camera)


@pytest.mark.filterwarnings("ignore")  # the decoder's, about tags that make no sense
@pytest.mark.parametrize("name, dtype", [("mine.png", np.uint16), ("mine.tiff", np.float32)])
def test_mutated_own_images_are_read_or_refused(tmp_path, name, dtype):
    write_png(tmp_path / name, np.arange(12, dtype=dtype).reshape(3, 4))
    camera = Camera(5, 5, 2, 1, 4, 3)
    fuzz(
        lambda path: datasets.read_depth_image(path, 1, camera),
        tmp_path / name,
        (tmp_path / name).read_bytes(),
    )
