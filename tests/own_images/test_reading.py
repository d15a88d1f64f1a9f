"""Depth images of every format and unit: each is read as what it means, or refused by name."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from handpose_lib.errors import DataError, HandPoseError
from handpose_lib.own_images import presets, reading, settings
from tests.support.fuzzing import fuzz

HEIGHT, WIDTH = 40, 48
DEPTH = np.random.default_rng(0).integers(300, 900, (HEIGHT, WIDTH)).astype(np.float64)
DEPTH[:3] = 0
STATED = {"fx": 60, "u0": 23.5, "v0": 19.5}


def png(path, values):
    Image.fromarray(values).save(path)


def npz(path, values):
    np.savez(path, depth=values, colour=np.zeros((HEIGHT, WIDTH, 3), np.uint8))


FORMATS = {
    "16.png": (png, np.uint16),
    "16.tif": (png, np.uint16),
    "32.tiff": (png, np.int32),
    "float.TIFF": (png, np.float32),
    "16.npy": (np.save, np.uint16),
    "64.npy": (np.save, np.int64),
    "half.npy": (np.save, np.float16),
    "double.npy": (np.save, np.float64),
    "single.npz": (npz, np.float32),
    "ユニコード ü.npy": (np.save, np.float32),
}


def frame(path, **stated):
    return reading.frame(path, settings.check({"image": path, **STATED, **stated}))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_holds_the_same_image(tmp_path, name):
    write, kind = FORMATS[name]
    values = DEPTH.astype(kind)
    write(tmp_path / name, values)
    read = frame(tmp_path / name)
    assert read.frame.depth.tolist() == values.astype(np.float32).tolist()
    assert read.unit_mm == 1 and read.frame.id == name.rsplit(".", 1)[0]
    assert (read.frame.camera.fx, read.frame.camera.fy) == (60, 60)


@pytest.mark.parametrize("nothing", [0, np.nan, np.inf, -np.inf, 65535])
def test_what_means_nothing_becomes_zero(tmp_path, nothing):
    path = tmp_path / "depth.npy"
    np.save(path, np.where(DEPTH > 0, DEPTH, nothing))
    assert (frame(path).frame.depth.numpy() == DEPTH.astype(np.float32)).all()


@pytest.mark.parametrize(
    "stated, stored, unit",
    [
        ({}, DEPTH, 1),
        ({}, DEPTH / 1000, 1000),
        ({"unit_mm": "m"}, DEPTH / 1000, 1000),
        ({"unit_mm": "cm"}, DEPTH / 10, 10),
        ({"unit_mm": 0.125}, DEPTH * 8, 0.125),
        ({"camera": "sr305"}, (DEPTH * 8).astype(np.uint16), 0.125),
        ({"camera": "sr305"}, DEPTH / 1000, 1000),  # floating exports are no raw values
    ],
)
def test_every_unit_gives_the_same_millimetres(tmp_path, stated, stored, unit):
    path = tmp_path / "depth.npy"
    np.save(path, stored)
    read = frame(path, **stated)
    assert read.unit_mm == unit
    assert np.abs(read.frame.depth.numpy() - DEPTH).max() < 1e-3


def archive(path):
    np.savez(path, a=DEPTH, b=DEPTH)


def pages(path):
    page = Image.fromarray(DEPTH.astype(np.uint16))
    page.save(path, save_all=True, append_images=[page])


REFUSED = {
    "colour.png": (lambda path: png(path, np.zeros((HEIGHT, WIDTH, 3), np.uint8)), "RGB"),
    "grey.png": (lambda path: png(path, np.zeros((HEIGHT, WIDTH), np.uint8)), "8 bits"),
    "pages.tif": (pages, "2 pages"),
    "two.npz": (archive, "the arrays a, b"),
    "stack.npy": (lambda path: np.save(path, np.stack([DEPTH, DEPTH])), "(2, 40, 48)"),
    "byte.npy": (lambda path: np.save(path, DEPTH.astype(np.uint8)), "uint8"),
    "complex.npy": (lambda path: np.save(path, DEPTH + 1j), "complex"),
    "objects.npy": (lambda path: np.save(path, np.array([{}]), allow_pickle=True), "objects"),
    "negative.npy": (lambda path: np.save(path, -DEPTH), "negative"),
    "zero.npy": (lambda path: np.save(path, 0 * DEPTH), "nothing is measured"),
    "tiny.npy": (lambda path: np.save(path, DEPTH[:5, :4] + 1), "4×5 pixels"),
    "long.npy": (lambda path: np.save(path, np.ones((9000, 40))), "40×9000 pixels"),
    "text.png": (lambda path: path.write_text("no image"), "not a readable image"),
    "empty.npy": (lambda path: path.write_bytes(b""), "not a readable image"),
    "none.npy": (lambda path: None, "missing"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_depth_image_is_refused_by_name(tmp_path, name):
    write, says = REFUSED[name]
    write(tmp_path / name)
    chosen = settings.check(STATED)
    with pytest.raises(DataError, match=f"{name}: ") as error:
        reading.frame(tmp_path / name, chosen)
    assert says in str(error.value) and "accepted" in str(error.value)
    assert "\n" not in str(error.value)


def test_an_array_that_only_its_header_makes_large_is_not_allocated(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (8000, 1 << 40)}
    )
    (tmp_path / "bomb.npy").write_bytes(header.getvalue())
    with pytest.raises(DataError, match="pixels"):
        reading.read(tmp_path / "bomb.npy")


@pytest.mark.filterwarnings("ignore")  # the decoder's, about tags that make no sense
@pytest.mark.parametrize("name", ["mine.npy", "mine.npz", "mine.tiff"])
def test_mutated_files_are_read_or_refused(tmp_path, name):
    path, values = tmp_path / name, DEPTH.astype(np.float32)
    {"npy": np.save, "npz": np.savez, "tiff": png}[path.suffix[1:]](path, values)
    fuzz(reading.read, path, path.read_bytes(), count=150)


def test_a_folder_gives_its_images_in_natural_order(tmp_path):
    for name in ("image10.png", "image9.png", "._image1.png", "image9_hand.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    found, others = reading.images(tmp_path)
    assert [path.name for path in found] == ["image9.png", "image10.png"] and len(others) == 3
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: a folder without a depth image; .*\.npz"):
        reading.images(tmp_path / "empty")


# --- cameras --------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in presets.PRESETS if name != "truedepth"])
def test_a_preset_scales_with_the_image(name):
    """A point projects to the same place of the image, whatever its resolution."""
    for view in presets.PRESETS[name].views:
        assert presets.find(name, view.width, view.height) == view
        # a hand's camera: a field of view between 45 and 100 degrees
        assert 0.4 < view.width / 2 / view.fx < 1.2
        assert abs(view.u0 - view.width / 2) < 0.05 * view.width
        assert abs(view.v0 - view.height / 2) < 0.07 * view.height
    view = presets.PRESETS[name].views[0]
    half = presets.find(name, view.width // 2, view.height // 2)
    assert half.fx == pytest.approx(view.fx / 2)
    assert (half.u0 + 0.5) * 2 - 0.5 == pytest.approx(view.u0)
    assert (half.v0 + 0.5) * 2 - 0.5 == pytest.approx(view.v0)


def test_a_cropped_resolution_agrees_with_a_device_that_states_it():
    """848×480 of a D435: 424.2 pixels at 384.2 of 640×480, of one device (realsense-ros 2788)."""
    ratio = presets.find("d435", 848, 480).fx / presets.find("d435", 640, 480).fx
    assert ratio == pytest.approx(424.229 / 384.207, rel=0.002)


@pytest.mark.parametrize(
    "name, size, says",
    [
        ("d345", (640, 480), "unknown camera 'd345'"),
        ("kinect_v2", (424, 512), "state fx, fy, u0, v0 of this image"),
        ("truedepth", (480, 640), "every device has its own intrinsics"),
    ],
)
def test_a_camera_that_is_not_known_is_refused(name, size, says):
    with pytest.raises(HandPoseError, match=says):
        presets.find(name, *size)


@pytest.mark.parametrize(
    "stated",
    [
        {"fx": 60, "fy": 61, "cx": 23.5, "cy": 19.5},
        {"fx": 60, "fy": 61, "ppx": 23.5, "ppy": 19.5, "width": WIDTH, "height": HEIGHT},
        {"K": [60, 0, 0, 0, 61, 0, 23.5, 19.5, 1], "w": WIDTH, "h": HEIGHT},
        {"camera_matrix": [[60, 0, 23.5], [0, 61, 19.5], [0, 0, 1]]},
        {"K": [60, 0, 23.5, 0, 61, 19.5, 0, 0, 1]},
        {"fx": 120, "fy": 122, "u0": 47.5, "v0": 39.5, "width": 2 * WIDTH, "height": 2 * HEIGHT},
    ],
)
def test_intrinsics_of_an_export(tmp_path, stated):
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps(stated))
    camera = presets.from_json(path, WIDTH, HEIGHT)
    assert [camera.fx, camera.fy, camera.u0, camera.v0] == [60, 61, 23.5, 19.5]


@pytest.mark.parametrize("text", ["{}", "[1]", "no", '{"K": [1, 2]}', '{"fx": "x"}'])
def test_an_export_without_intrinsics_is_refused_by_name(tmp_path, text):
    path = tmp_path / "metadata.json"
    path.write_text(text)
    with pytest.raises(HandPoseError, match="metadata.json"):
        presets.from_json(path, WIDTH, HEIGHT)


# --- settings -------------------------------------------------------------------


@pytest.mark.parametrize(
    "stated, says",
    [
        ({"camera": "d453"}, "camera: given 'd453'.*did you mean d4"),
        ({"unit_mm": "0,125"}, "unit_mm: given '0,125'.*write 0.125"),
        ({"unit_mm": "inches"}, "unit_mm: given 'inches'; accepted is mm, cm, m"),
        ({"fx": "wide", "u0": 1, "v0": 1}, "fx: given 'wide'"),
        ({"fx": 60}, "fx, u0, v0: u0, v0 missing"),
        ({"fy": 60}, "fx, u0, v0"),
        ({"hand": "both"}, "hand: given 'both'; accepted is one of right, left, either"),
        ({"hands": 0}, "hands: given 0"),
        ({"hands": 1.5}, "hands: given 1.5"),
        ({"find": "point"}, "point: none given"),
        ({"point": (1,)}, "point: given"),
        ({"point": (1, 2), "hands": 2}, "a point shows one hand"),
        ({"lens": 1}, "parameter lens: there is none"),
    ],
)
def test_a_wrong_parameter_is_refused_in_one_line(stated, says):
    with pytest.raises(HandPoseError, match=says) as error:
        settings.check(stated)
    assert "\n" not in str(error.value)


def test_an_image_needs_a_camera(tmp_path):
    (tmp_path / "depth.npy").write_bytes(b"")
    with pytest.raises(HandPoseError, match="parameter camera: none given; .*d435"):
        settings.check({"image": tmp_path / "depth.npy"})


def test_a_size_that_is_not_the_image_s_is_refused(tmp_path):
    np.save(tmp_path / "depth.npy", DEPTH)
    with pytest.raises(HandPoseError, match=r"depth.npy: .*given 640×480.*has 48×40"):
        frame(tmp_path / "depth.npy", width=640, height=480)
