"""The page reads depth images as the library does, and answers a bad file with one sentence."""

import io
import json
import struct
import zlib
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from handpose_lib.own_images import reading

HEIGHT, WIDTH = 90, 70
PREDICTOR, COMPRESSION, FLOATS = 317, 259, 3


@pytest.fixture(scope="module")
def depth():
    """A surface with holes, mm. Neighbours differ, and no row is like another."""
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    values = np.round(500 + 200 * np.sin(u / 9) * np.cos(v / 7) + (u * v) % 11)
    values[20:30, 15:40] = 0
    return values


@pytest.fixture
def read(in_node, tmp_path):
    """Return a function from files, name → content, to what the page reads from them."""

    def answers(files: dict[str, bytes]) -> dict[str, dict]:
        asked = []
        for number, (name, content) in enumerate(files.items()):
            path = tmp_path / str(number)
            path.write_bytes(content)
            asked.append({"name": name, "path": str(path)})
        return dict(zip(files, json.loads(in_node("read", {"files": asked})), strict=True))

    return answers


def pillow(values: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "TIFF", **options)
    return file.getvalue()


def tiff(
    values: np.ndarray,
    order: Literal["<", ">"] = "<",
    tile: int = 0,
    packed: bool = False,
    pages: int = 1,
    **tags: int,
) -> bytes:
    """Return a TIFF file that Pillow does not write: tiles, either byte order, any tag."""
    kind = {"u": 1, "i": 2, "f": FLOATS}[values.dtype.kind]
    values = values.astype(values.dtype.newbyteorder(order))
    height, width = values.shape[:2]
    if tile:
        down, across = -(-height // tile), -(-width // tile)
        whole = np.zeros((down * tile, across * tile), values.dtype)
        whole[:height, :width] = values
        parts = [
            whole[v * tile :, u * tile :][:tile, :tile].tobytes()
            for v in range(down)
            for u in range(across)
        ]
    else:
        parts = [values[row : row + 16].tobytes() for row in range(0, height, 16)]
    if packed:
        parts = [zlib.compress(part) for part in parts]
    places, content = [], b""
    for part in parts:
        places.append(8 + len(content))
        content += part + bytes(len(part) % 2)
    lists = 8 + len(content)
    content += struct.pack(f"{order}{2 * len(parts)}I", *places, *map(len, parts))
    fields = {
        256: width,
        257: height,
        258: values.dtype.itemsize * 8,
        COMPRESSION: 8 if packed else 1,
        262: 1,
        277: 1,
        339: kind,
        **({322: tile, 323: tile} if tile else {278: 16}),
        **{int(name[1:]): value for name, value in tags.items()},
    }
    lists_of = {324: lists, 325: lists + 4 * len(parts)} if tile else {273: lists}
    if not tile:
        lists_of[279] = lists + 4 * len(parts)
    entries = [(tag, 4, 1, value) for tag, value in fields.items()]
    entries += [(tag, 4, len(parts), value) for tag, value in lists_of.items()]
    size = 2 + 12 * len(entries) + 4
    first = 8 + len(content)
    for page in range(pages):
        following = first + (page + 1) * size if page + 1 < pages else 0
        content += struct.pack(f"{order}H", len(entries))
        content += b"".join(struct.pack(f"{order}HHII", *entry) for entry in sorted(entries))
        content += struct.pack(f"{order}I", following)
    return struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, first) + content


def test_tiff_files_of_every_usual_kind_are_read_as_by_the_library(read, depth, tmp_path):
    kinds = {"16": np.uint16, "32": np.int32, "float": np.float32}
    ways = (None, "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "zstd")
    files = {}
    for kind, dtype in kinds.items():
        values = depth.astype(dtype) if kind != "float" else depth.astype(dtype) + 0.25
        for way in ways:
            files[f"{kind} {way}.tif"] = pillow(values, compression=way)
        for way in ("tiff_lzw", "tiff_adobe_deflate"):
            differences = FLOATS if kind == "float" else 2
            files[f"{kind} {way} differences.tif"] = pillow(
                values, compression=way, tiffinfo={PREDICTOR: differences}
            )
    files["big end first.tif"] = tiff(depth.astype(np.uint16), ">")
    files["big float.tif"] = tiff(depth.astype(np.float32), ">")
    files["tiles.tif"] = tiff(depth.astype(np.uint16), tile=32)
    files["packed tiles.tif"] = tiff(depth.astype(np.float32), tile=16, packed=True)
    files["unsigned 32.tif"] = tiff(depth.astype(np.uint32))
    found = read(files)
    for number, (name, content) in enumerate(files.items()):
        path = tmp_path / f"{number}.tif"
        path.write_bytes(content)
        stored = reading.read(path)
        page = found[name]
        assert "error" not in page, f"{name}: {page['error']}"
        assert (page["height"], page["width"], page["whole"]) == (HEIGHT, WIDTH, stored.whole), name
        np.testing.assert_array_equal(
            np.reshape(page["values"], stored.values.shape), stored.values, name
        )


def test_files_that_pillow_cannot_read_are_read(read, depth):
    """Pillow has no floats of 16 or 64 bits, and swaps the bytes of packed big-endian ones."""
    files = {
        "double.tif": tiff(depth),
        "half.tif": tiff(depth.astype(np.float16)),
        "short.tif": tiff(depth.astype(np.int16)),
        "packed.tif": tiff(depth.astype(np.float32), ">", packed=True),
    }
    for name, page in read(files).items():
        expected = depth.astype(np.float16) if name == "half.tif" else depth
        np.testing.assert_array_equal(np.reshape(page["values"], depth.shape), expected, name)
        assert page["whole"] == (name == "short.tif")


def ring(content: bytes) -> bytes:
    """Return a TIFF file whose only page is followed by itself."""
    return content[:-4] + content[4:8]


def bad(depth: np.ndarray) -> dict[str, tuple[bytes, str]]:
    """Return bad TIFF files, and words of the sentence about each."""
    whole = depth.astype(np.uint16)
    jpeg = io.BytesIO()
    grey = Image.fromarray((depth / 4).astype(np.uint8))
    grey.convert("RGB").save(jpeg, "TIFF", compression="jpeg")
    return {
        "colour.tif": (jpeg.getvalue(), "is a colour picture"),
        "palette.tif": (tiff(whole, t262=3), "is a colour picture"),
        "grey.tif": (tiff((depth / 4).astype(np.uint8)), "8 bits per pixel, too few for depth"),
        "long.tif": (tiff(depth.astype(np.uint64)), "64 bits per pixel; accepted are 16 or 32"),
        "pages.tif": (tiff(whole, pages=2), "has several pages; accepted is one depth image"),
        "ring.tif": (ring(tiff(whole)), "has several pages; accepted is one depth image"),
        "turned.tif": (tiff(whole, t274=6), "is stored turned or mirrored"),
        "fax.tif": (tiff(whole, t259=4), "compressed in a way that this page cannot read"),
        "lerc.tif": (tiff(whole, t259=34887), "compressed in a way that this page cannot read"),
        "unknown.tif": (tiff(whole, t259=999), "compressed in a way that this page cannot read"),
        "order.tif": (tiff(whole, ">", packed=True, t317=2), "in a way that this page cannot read"),
        "huge.tif": (tiff(whole, t256=1 << 20, t257=1 << 20), "1048576 × 1048576 pixels"),
        "taller.tif": (tiff(whole, t257=200), "is a damaged TIFF file"),
        "nothing.tif": (b"II*\0", "is a damaged TIFF file"),
        "nowhere.tif": (b"II*\0" + struct.pack("<I", 1 << 30), "is a damaged TIFF file"),
        "directory.tif": (b"MM\0*" + struct.pack(">IH", 8, 0) + bytes(4), "a damaged TIFF file"),
    }


def test_a_bad_tiff_file_gets_one_sentence(read, depth):
    files = bad(depth)
    found = read({name: content for name, (content, _) in files.items()})
    for name, (_, words) in files.items():
        said = found[name].get("error", "no error")
        assert words in said and said.startswith(name), f"{name}: {said}"
        assert said.endswith(".") and said.count(".") == 2, f"{name}: {said}"


@pytest.mark.parametrize("way", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd"])
def test_no_cut_of_a_tiff_file_is_taken_for_an_image(read, depth, way):
    """Pillow writes the directory at the end or the beginning; a cut takes off pixels or it."""
    content = pillow(depth.astype(np.uint16), compression=way)
    last = tiff(depth.astype(np.uint16), packed=way is not None)
    files = {
        f"{kind} {share}": whole[: len(whole) * share // 100]
        for kind, whole in (("first", content), ("last", last))
        for share in range(1, 100, 3)
    }
    for name, page in read(files).items():
        assert "damaged TIFF" in page.get("error", "no error") or (
            "no PNG, TIFF" in page["error"]
        ), f"{name} of {way}: {page.get('error', 'read')}"


def test_damage_inside_a_tiff_file_never_ends_without_an_answer(read, depth):
    """Each file has a few bytes changed: it is read, or refused with a sentence."""
    generator = np.random.default_rng(4)
    contents = [
        pillow(depth.astype(np.uint16), compression="tiff_lzw"),
        pillow(depth.astype(np.float32), compression="tiff_adobe_deflate"),
        tiff(depth.astype(np.uint32), tile=16),
    ]
    files = {}
    for number in range(300):
        content = np.frombuffer(contents[number % 3], np.uint8).copy()
        places = generator.integers(4, len(content), 3)
        places[0] = generator.integers(len(content) - 150, len(content))
        content[places] = generator.integers(0, 256, 3)
        files[f"{number}.tif"] = content.tobytes()
    for name, page in read(files).items():
        if "error" in page:
            assert page["error"].startswith(name) and page["error"].endswith("."), page["error"]
        else:
            assert len(page["values"]) == page["width"] * page["height"]


def test_png_and_numpy_files_are_read_as_by_the_library(read, depth, tmp_path):
    png, npy = io.BytesIO(), io.BytesIO()
    Image.fromarray(depth.astype(np.uint16)).save(png, "PNG")
    np.save(npy, depth.astype(np.float32) + 0.5)
    for name, page in read({"a.png": png.getvalue(), "a.npy": npy.getvalue()}).items():
        path = tmp_path / name
        path.write_bytes(png.getvalue() if name == "a.png" else npy.getvalue())
        stored = reading.read(path)
        np.testing.assert_array_equal(np.reshape(page["values"], depth.shape), stored.values)
        assert page["whole"] == stored.whole
