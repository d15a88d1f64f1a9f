"""Published predictions: every format on hand-built files, and the figures on the real ones.

The figures are held against the real files where the data folder has them, and always against a
folder built here whose errors are known by construction.
"""

import contextlib
import struct
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from handpose_lib import published
from handpose_lib.camera import xyz_to_uvd
from handpose_lib.errors import DataError, HandPoseError
from handpose_lib.evaluation import metrics
from handpose_lib.published import files, sanity, spaces, stand_in
from handpose_lib.results import tables
from tests.support import pose_files as made

SCORED = [name for name, benchmark in published.BENCHMARKS.items() if benchmark.results]
COMPLETE = sum(len(benchmark.results) for benchmark in published.BENCHMARKS.values())
PLACES = ["built", *(["real"] if len(published.available()) == COMPLETE else [])]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return made.build_published(tmp_path_factory.mktemp("published"))


@pytest.fixture(params=PLACES)
def root(request, built):
    """The folder of published files: one built by hand, and the real one where it is complete."""
    return built if request.param == "built" else published.folder()


# --- the figures --------------------------------------------------------------


@pytest.mark.parametrize(
    "name, method", [(name, method) for name, figures in made.FIGURES.items() for method in figures]
)
def test_the_figure_is_found_again(root, name, method):
    found = published.score(name, method, root)["mean_joint_error_mm"]
    assert abs(found - made.FIGURES[name][method]) <= 0.0005 + 1e-6, (
        "half of the last printed digit"
    )


def test_every_benchmark_s_figures_are_tested():
    """ITOP's are a precision, not an error in mm: the next test."""
    assert {name: set(figures) for name, figures in made.FIGURES.items()} == {
        name: set(published.BENCHMARKS[name].results) for name in SCORED if name != "itop"
    }


def test_itop_precision_is_found_again(root):
    """Labels in metres with y up, predictions in pixels and metres, in a MATLAB file in a zip."""
    assert (
        abs(100 * published.score("itop", "A2J", root)["map_10cm"] - made.PRECISION)
        <= 0.0005 + 1e-6
    )


@pytest.mark.parametrize("name", made.XYZ_FILES)
def test_the_same_predictions_in_pixels_and_in_space(root, name):
    """The files round to a thousandth of a pixel: half of it is 0.0025 mm at 1.2 m and the shorter
    focal length.
    """
    in_space = published.score_file(root / made.XYZ_FILES[name], name, root=root)
    in_pixels = published.score(name, "DenseReg", root)["mean_joint_error_mm"]
    assert (in_space.space, in_space.unit_mm, in_space.y_up) == ("xyz", 1.0, False)
    assert abs(in_space.measures["mean_joint_error_mm"] - in_pixels) < 0.003
    assert any("x y z" in warning for warning in in_space.warnings)
    assert any("are those of DenseReg" in warning for warning in in_space.warnings)


def test_the_files_of_the_literature_have_no_warnings(root):
    for name in SCORED:
        results, labels = published.BENCHMARKS[name].results, published.load(name, root=root)
        predictions = {method: published.load(name, method, root) for method in results}
        for method, file in results.items():
            others = {other: joints for other, joints in predictions.items() if other != method}
            found = published.score_file(root / file, name, labels, root=root, against=others)
            assert found.warnings == [], (name, method)


def test_a_copy_is_found_among_the_published_files(built, tmp_path):
    benchmark = published.BENCHMARKS["icvl"]
    copy = made.put(tmp_path / "ours.txt", (built / benchmark.results["A2J"]).read_bytes())
    (warning,) = published.score_file(copy, "icvl", root=built).warnings
    assert warning == "40 of 40 frames are those of A2J (icvl_646_epoch12_UVD.txt)"
    assert (
        published.score_file(built / benchmark.results["A2J"], "icvl", root=built).warnings == []
    ), "a file is no copy of itself"


def test_figures_printed_elsewhere_are_those_that_are_found():
    printed = tables.load("rescoring")["tables"]
    for name, figures in made.FIGURES.items():
        assert {row["label"] for row in printed[name]["rows"]} == figures.keys()
        for row in printed[name]["rows"]:
            assert (
                abs(row["error_mm"] - figures[row["label"]]) < 10 ** -row.get("decimals", 3) / 1.9
            ), row["label"]
    assert abs(printed["itop"]["rows"][0]["itop"] - made.PRECISION) <= 0.05


def test_labels_against_themselves_have_no_error(built):
    for name, benchmark in published.BENCHMARKS.items():
        if benchmark.labels:
            labels = published.load(name, root=built)
            assert metrics.mean_joint_error(labels, labels).item() == 0.0


def test_parts_are_those_of_the_whole_set_only():
    assert published.parts_of("nyu", 8252) == {
        "training subject": slice(0, 2440),
        "new subject": slice(2440, 8252),
    }
    assert published.parts_of("nyu", 8251) == {} == published.parts_of("msra", 76375)


def test_parts_and_the_whole_agree(tmp_path):
    """The mean over the parts, weighted by their frames, is the mean over the whole set, here built
    by hand in its true size.
    """
    nyu = published.BENCHMARKS["nyu"]
    joints = made.moving(8252, 14, centre=(0.0, 0.0, 800.0))
    by = torch.where(torch.arange(8252) < 2440, 4.0, 10.0)[:, None].expand(8252, 14)
    path = files.write(
        tmp_path / "p.txt", xyz_to_uvd(made.missed(joints, by), torch.tensor(nyu.intrinsics))
    )
    score = published.score_file(path, "nyu", labels=joints, root=tmp_path)
    assert score.parts == pytest.approx({"training subject": 4.0, "new subject": 10.0}, abs=0.001)
    assert score.measures["mean_joint_error_mm"] == pytest.approx(
        (2440 * 4 + 5812 * 10) / 8252, abs=0.001
    )


# --- text ---------------------------------------------------------------------

POINTS = [[[1, 2.5, 3], [4, 5, 6]], [[-1, -2, -3], [-4, -5, -6]]]
NAMES = ["seq/image_0.png", "seq/image_1.png"]

TEXTS = {
    "blanks": ("1 2.5 3 4 5 6\n-1 -2 -3 -4 -5 -6\n", None),
    "tabs, two blanks, exponents": ("1\t2.5  3 4\t\t5 6 \n-1 -2 -3 -4 -5e0 -6e+0", None),
    "commas": ("1,2.5,3,4,5,6\n-1, -2, -3, -4, -5, -6\n", None),
    "empty lines and other line ends": (
        "\r\n1 2.5 3 4 5 6 \r\r\n\r\n-1 -2 -3 -4 -5 -6\r\n \n",
        None,
    ),
    "a byte order mark": ("\ufeff1 2.5 3 4 5 6\n-1 -2 -3 -4 -5 -6\n", None),
    "names": ("seq/image_0.png 1 2.5 3 4 5 6\nseq/image_1.png -1 -2 -3 -4 -5 -6\n", NAMES),
    "names with a backslash, and tabs": (
        "seq\\image_0.png\t1\t2.5\t3\t4\t5\t6\nseq\\image_1.png\t-1\t-2\t-3\t-4\t-5\t-6\r\n",
        NAMES,
    ),
    "numbers of the frames": ("7 1 2.5 3 4 5 6\n8 -1 -2 -3 -4 -5 -6\n", ["7", "8"]),
    "a count before": ("2\n1 2.5 3 4 5 6\n-1 -2 -3 -4 -5 -6\n", None),
    "a trailing number": ("1 2.5 3 4 5 6 0.9\n-1 -2 -3 -4 -5 -6 0.9\n", None),
    "trailing words": ("1 2.5 3 4 5 6 ok 1\n-1 -2 -3 -4 -5 -6 bad nan\n", None),
    "trailing words here and there": ("1 2.5 3 4 5 6\n-1 -2 -3 -4 -5 -6 lost 8 9\n", None),
    "names and trailing fields": (
        "seq/image_0.png 1 2.5 3 4 5 6 1\nseq/image_1.png -1 -2 -3 -4 -5 -6 1\n",
        NAMES,
    ),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_text_of_every_kind(tmp_path, kind):
    text, names = TEXTS[kind]
    found = files.read(made.put(tmp_path / "p.txt", text), 2)
    assert found.points.dtype == torch.float64
    assert (found.points.tolist(), found.names) == (POINTS, names)


@pytest.mark.parametrize("kind", TEXTS)
def test_without_a_number_of_joints_the_file_says_it(tmp_path, kind):
    text, names = TEXTS[kind]
    found = files.read(made.put(tmp_path / "p.txt", text))
    assert (found.points.tolist(), found.names) == (POINTS, names)


def test_one_of_several_numbers_of_joints(tmp_path):
    path = made.put(tmp_path / "p.txt", "1 2 3 4 5 6 7 8 9\n" * 2)
    assert files.read(path, (2, 3)).points.shape == (2, 3, 3)
    with pytest.raises(
        DataError, match="every line has the numbers of 3 joints, where 2 joints need 6"
    ):
        files.read(path, 2)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "holds no frame"),
        ("\n \n", "holds no frame"),
        ("1 2 3 4 5 6\n1 2 3 4 5\n", "line 2: 5 numbers, where 2 joints need 6"),
        ("1 2 3 4 5 6\n\n1 2 3 4 5 nan\n", "line 3: 'nan' is not a finite number"),
        ("1 2 3 4 5 -1e999\n", "line 1: '-inf' is not a finite number"),
        ("1 2 3 four 5 6\n", "line 1: 'four' is not a finite number"),
        ("a.png 1 2 3 4 5 6\n1 2 3 4 5 6\n", "line 2: begins with no image name"),
        ("1 2 3 4 5 6\na.png 1 2 3 4 5 6\n", "line 2: 'a.png' is not a finite number"),
        ("1 2 3 4 5 6\n1 2 3 4 5 6 7\n", "line 2: 7 numbers, where line 1 has 6"),
        ("test/depth_1_0000001.png\n", "line 1: 0 numbers, where 2 joints need 6"),
        ("1 2 3 4 5 6 7 8 9\n" * 3, "every line has the numbers of 3 joints"),
        ("1 " * 40_000, "line 1: 80,000 bytes"),
    ],
)
def test_a_broken_text_names_itself_and_the_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message) as caught:
        files.read(made.put(tmp_path / "broken.txt", text), 2)
    assert "broken.txt" in str(caught.value)


def test_without_a_number_of_joints_lines_must_be_alike(tmp_path):
    with pytest.raises(DataError, match="line 2: 5 numbers, where line 1 has 6"):
        files.read(made.put(tmp_path / "p.txt", "1 2 3 4 5 6\n1 2 3 4 5\n"))
    with pytest.raises(DataError, match="line 1: 2 numbers, where a joint needs 3"):
        files.read(made.put(tmp_path / "p.txt", "1 2\n3 4\n"))


def test_absent_foreign_and_too_large_files(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="absent.txt does not exist"):
        files.read(tmp_path / "absent.txt")
    with pytest.raises(DataError, match="cannot be read"):
        files.read(tmp_path)
    with pytest.raises(DataError, match="line 1: cannot be read as text"):
        files.read(made.put(tmp_path / "latin.txt", b"\xe9t\xe9.png 1 2 3\n"))
    with pytest.raises(DataError, match="neither text nor a MATLAB file of version 5 nor a zip"):
        files.read(made.put(tmp_path / "picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"))
    monkeypatch.setattr(files, "LARGEST", 10)
    with pytest.raises(DataError, match="12 bytes; accepted are at most 10"):
        files.read(made.put(tmp_path / "large.txt", "1 2 3\n1 2 3\n"))
    with pytest.raises(HandPoseError, match="at least 1"):
        files.read(tmp_path / "large.txt", 0)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.booleans(), st.integers(0, 2**31))
def test_what_is_written_is_read_to_half_a_thousandth(
    tmp_path_factory, frames, joints, named, seed
):
    points = (
        torch.rand(
            frames, joints, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
        )
        * 2000
        - 1000
    )
    names = [f"seq/{i}.png" for i in range(frames)] if named else None
    path = files.write(tmp_path_factory.mktemp("w") / "p.txt", points, names)
    found = files.read(path, joints)
    assert found.names == names and (found.points - points).abs().max() <= 0.0005 + 1e-9


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(HandPoseError, match="finite"):
        files.write(tmp_path / "p.txt", torch.full((1, 2, 3), torch.nan))
    with pytest.raises(HandPoseError, match="1 names for 2 frames"):
        files.write(tmp_path / "p.txt", torch.zeros(2, 2, 3), ["a"])
    assert not (tmp_path / "p.txt").exists()


# --- MATLAB and zip -----------------------------------------------------------

VALUES = np.arange(24.0).reshape(4, 2, 3)

ARRAYS = {
    "doubles": made.mat(made.matrix("a", VALUES)),
    "singles": made.mat(made.matrix("a", VALUES, matlab_class=7, kind=7, stored="f4")),
    "doubles stored as bytes": made.mat(made.matrix("a", VALUES, kind=2, stored="u1")),
    "whole numbers": made.mat(made.matrix("a", VALUES, matlab_class=10, kind=3, stored="i2")),
    "the other byte order": made.mat(made.matrix("a", VALUES, order=">"), order=">"),
    "packed": made.mat(made.packed(made.matrix("a", VALUES))),
    "a frame per row": made.mat(made.matrix("a", VALUES.reshape(4, 6))),
    "beside other arrays": made.mat(
        made.matrix("size", [[640.0, 480.0]]),
        made.packed(made.matrix("a", VALUES)),
        made.matrix("names", [[1.0]], matlab_class=4),
        made.matrix("z", VALUES, flags=0x0800),
    ),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_matlab_arrays_of_every_kind(tmp_path, kind):
    for joints in (2, None) if kind != "beside other arrays" else (2,):
        assert (
            files.read(made.put(tmp_path / "p.dat", ARRAYS[kind]), joints).points.tolist()
            == VALUES.tolist()
        )


def test_small_elements_stand_in_their_tags(tmp_path):
    """A name of at most four letters may stand in the tag: two 16-bit numbers, type and size, then
    the letters.
    """
    whole = made.matrix("abc", VALUES)
    tag = made.element(1, b"abc")
    small = struct.pack("<HH", 1, 3) + b"abc\0"
    body = whole[8:].replace(tag, small)
    content = made.mat(struct.pack("<II", 14, len(body)) + body)
    assert files.read(made.put(tmp_path / "p.mat", content), 2).points.tolist() == VALUES.tolist()


def test_broken_matlab_files(tmp_path):
    def refused(content, message):
        with pytest.raises(DataError, match=message) as caught:
            files.read(made.put(tmp_path / "p.mat", content), 2)
        assert "p.mat" in str(caught.value)

    refused(made.mat(made.matrix("a", VALUES), made.matrix("b", VALUES)), r"a, b can be poses")
    refused(made.mat(made.matrix("a", VALUES[:, :1])), r"no array can be poses \(arrays: a 4×1×3\)")
    refused(made.mat(), "no array")
    refused(
        made.mat(made.matrix("a", np.full((4, 2, 3), np.nan))), "a holds a value that is not finite"
    )
    refused(made.mat(made.matrix("a", VALUES))[:-8], "cut off")
    refused(made.mat(made.packed(made.matrix("a", VALUES))[:-9]), "cut off")
    refused(made.mat(made.element(15, b"no zlib")), "cannot be unpacked")
    shape = made.matrix("a", VALUES).replace(
        b"\x04\0\0\0\x02\0\0\0\x03", b"\xff\xff\xff\x7f\x02\0\0\0\x03"
    )
    refused(made.mat(shape), r"shape \(2147483647, 2, 3\) with 192 bytes")


def test_a_zip_with_one_pose_file(tmp_path):
    path = tmp_path / "results"
    for inner in (ARRAYS["doubles"], made.lines(torch.from_numpy(VALUES)).encode()):
        made.put(
            path,
            made.zipped(
                {"model.py": b"import torch\n", "folder/result": inner, "log.txt": b"epoch 1 2\n"}
            ),
        )
        assert files.read(path, 2).points.tolist() == VALUES.tolist()


def test_broken_zips(tmp_path):
    def refused(content, message):
        with pytest.raises(DataError, match=message) as caught:
            files.read(made.put(tmp_path / "p.zip", content), 2)
        assert "p.zip" in str(caught.value)

    whole = made.zipped({"a.mat": ARRAYS["doubles"]})
    refused(whole[:-10], "not a whole zip")
    refused(
        made.zipped({"a.mat": ARRAYS["doubles"], "b.mat": ARRAYS["singles"]}),
        "several files of poses",
    )
    refused(made.zipped({"a.py": b"x", "b.py": b"y"}), "none of its 2 files holds poses")
    refused(
        made.zipped({"a.txt": b"1 2 3\n"}),
        "'a.txt' in it, line 1: 3 numbers, where 2 joints need 6",
    )
    refused(made.zipped({"a.zip": whole}), "a zip inside a zip")
    refused(made.zipped({}) or b"", "neither text nor|holds no frame|not a whole zip|none of its 0")


def test_bombs_are_refused_before_they_unfold(tmp_path):
    """A thousand times as large when unpacked: refused within the bound that is promised."""
    zeros = np.zeros((400_000, 2, 3))
    for content in (
        made.mat(made.packed(made.matrix("a", zeros))),
        made.zipped({"a.txt": b"0 0 0 0 0 0\n" * 2_000_000}),
    ):
        path = made.put(tmp_path / "bomb", content)
        tracemalloc.start()
        with pytest.raises(DataError, match="unpacks to more"):
            files.read(path, 2)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3 * (files.RATIO * len(content) + 2**20)


@pytest.mark.parametrize(
    "line",
    ["1 2 3\n", "a 1 2 3\n", "1 2 3 4 5 6 7 8 9\n", "12345678.5 1e300 -1e-300 \n", "\n", "a.png\n"],
)
def test_reading_text_stays_within_its_memory(tmp_path, line):
    path = made.put(tmp_path / "p.txt", line * (60_000 // len(line)))
    tracemalloc.start()
    with contextlib.suppress(DataError):
        files.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < files.MEMORY * path.stat().st_size


# --- what the numbers mean ----------------------------------------------------


@pytest.mark.parametrize("name", published.BENCHMARKS)
@pytest.mark.parametrize("seed", range(3))
def test_pixels_and_points_in_space_are_told_apart(name, seed):
    benchmark = published.BENCHMARKS[name]
    scale = 5.0 if name == "itop" else 1.0
    joints = made.moving(50, benchmark.joints, seed, (20.0, -30.0, 500.0 * scale), 40.0 * scale)
    camera = torch.tensor(benchmark.intrinsics, dtype=torch.float64)
    uvd = xyz_to_uvd(joints, camera)
    metres = torch.tensor([1.0, 1.0, 0.001], dtype=torch.float64)
    viewer = torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
    for numbers, space, unit in (
        (uvd, "uvd", 1),
        (uvd * metres, "uvd", 1000),
        (joints, "xyz", 1),
        (joints / 1000, "xyz", 1000),
        (joints * viewer, "xyz", 1),
    ):
        assert (spaces.of(numbers, benchmark.camera), spaces.unit(numbers)) == (space, unit)
        assert torch.allclose(spaces.to_mm(numbers, space, benchmark.intrinsics), joints, atol=1e-6)


def test_a_y_that_points_up_is_turned_by_the_labels(built):
    labels = published.load("nyu", root=built)
    path = made.put(
        built.parent / "up.txt",
        made.lines(made.missed(labels, 5.0) * torch.tensor([1.0, -1.0, 1.0])),
    )
    score = published.score_file(path, "nyu", root=built)
    assert score.y_up and score.measures["mean_joint_error_mm"] == pytest.approx(5.0, abs=1e-4)


def test_the_evaluated_joints_of_36_are_taken(built):
    labels = published.load("nyu", root=built)
    everything = torch.zeros(len(labels), 36, 3, dtype=torch.float64) + torch.tensor(
        [0.0, 0.0, 400.0]
    )
    everything[:, list(published.BENCHMARKS["nyu"].subsets[36])] = made.missed(labels, 3.0)
    path = made.put(built.parent / "36.txt", made.lines(everything))
    assert published.score_file(path, "nyu", root=built).measures[
        "mean_joint_error_mm"
    ] == pytest.approx(3.0, abs=1e-4)


def test_frames_are_matched_by_their_names(built):
    labels = published.load("icvl", root=built)
    camera = torch.tensor(published.BENCHMARKS["icvl"].intrinsics, dtype=torch.float64)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(3))[:30]
    for folder in ("seq/", ""):
        names = [f"{folder}image_{i:04d}.png" for i in order.tolist()]
        path = made.put(
            built.parent / "named.txt",
            made.lines(xyz_to_uvd(made.missed(labels[order], 4.0), camera), names),
        )
        score = published.score_file(path, "icvl", root=built)
        assert score.frames == 30 and score.measures["mean_joint_error_mm"] == pytest.approx(
            4.0, abs=1e-4
        )
        assert len(score.warnings) == 1 and "only those are compared" in score.warnings[0]


# --- what looks wrong --------------------------------------------------------------

JOINTS = made.moving(1000, 3)


def noticed(warning: str | None) -> str:
    """Return the text of a warning, which must have been found."""
    assert warning is not None
    return warning


def test_frame_counts():
    parts = {"training subject": 2440}
    assert sanity.frame_count(8252, 8252) is None
    lost_batch = noticed(sanity.frame_count(8224, 8252))
    assert "first 8,224 of both" in lost_batch and "last batch of 32" in lost_batch
    assert "'training subject'" in noticed(sanity.frame_count(2440, 8252, parts))
    assert "batch" not in noticed(sanity.frame_count(8253, 8252))
    assert "only those" in noticed(sanity.frame_count(5, 9, by_name=True))


def test_frames_of_another_file():
    other = made.missed(JOINTS, 1.0)
    assert sanity.same_frames(JOINTS, other, "x") is None
    other[17:30] = JOINTS[17:30] + 0.04
    assert sanity.same_frames(JOINTS, other, "x") == "13 of 1,000 frames are those of x"


def test_a_joint_equal_to_the_label():
    predicted = made.missed(JOINTS, 5.0)
    assert sanity.equal_to_labels(predicted, JOINTS, "abc") is None
    predicted[:, 1] = JOINTS[:, 1]
    assert "every frame: b." in noticed(sanity.equal_to_labels(predicted, JOINTS, "abc"))
    predicted[3, 1] += 0.1
    assert sanity.equal_to_labels(predicted, JOINTS, "abc") is None
    assert "every joint" in noticed(sanity.equal_to_labels(JOINTS, JOINTS, "abc"))


@pytest.mark.parametrize("shift", [-3, -2, -1, 0, 1, 2, 3])
def test_an_order_that_is_off(shift):
    """Line i holds the prediction of frame i + shift."""
    predicted = made.missed(JOINTS, 2.0).roll(-shift, 0)
    found = sanity.order(predicted, JOINTS)
    if shift == 0:
        assert found is None
    else:
        assert f"off by {abs(shift)} from the first frame on" in noticed(found)
        assert f"frame i {'-+'[shift > 0]} {abs(shift)} better" in noticed(found)


def test_a_lost_frame_shifts_what_follows():
    predicted = made.missed(JOINTS, 2.0)
    found = noticed(sanity.order(torch.cat((predicted[:500], predicted[501:])), JOINTS[:-1]))
    assert "off by 1 from about frame " in found and "frame i + 1 better" in found
    assert abs(int(found.split("frame ")[1].split()[0]) - 500) <= 3


def test_too_few_frames_have_no_order():
    assert sanity.order(JOINTS[:5], JOINTS[:5].flip(0)) is None


def test_names_of_another_list():
    assert sanity.image_names(None, ["a"]) is None and sanity.image_names(["a"], None) is None
    assert (
        sanity.image_names(["b.png"], ["test/b.png"]) is None
        and sanity.image_names(["x/test/b.png"], ["test/b.png"]) is None
    )
    assert "line 2 is named 'c'" in noticed(sanity.image_names(["a", "c"], ["a", "b"]))


def test_depth_zero_and_errors_beyond_a_hand():
    assert sanity.without_depth(JOINTS) is None and sanity.too_far(40.0) is None
    lost = JOINTS.clone()
    lost[[3, 5], 0] = 0.0
    assert "2 frames" in noticed(sanity.without_depth(lost))
    assert "404 mm" in noticed(sanity.too_far(404.2))
    assert sanity.too_far(404.2, limit=1000.0) is None


def test_pixels_read_as_points_in_space_are_noticed(built):
    """The reader of the file insists on the wrong space: the error is beyond any hand's, and that
    is said.
    """
    path = built / published.BENCHMARKS["nyu"].results["V2V-PoseNet"]
    score = published.score_file(path, "nyu", space="xyz", root=built)
    assert score.measures["mean_joint_error_mm"] > 100 and any(
        "a mean error of" in warning for warning in score.warnings
    )


# --- imitations ---------------------------------------------------------------


@pytest.mark.parametrize("name", SCORED)
def test_an_imitation_is_read_as_the_real_files_are_and_never_passes_for_them(tmp_path, name):
    joints = made.moving(600, published.BENCHMARKS[name].joints, centre=(0.0, 0.0, 900.0))
    benchmark = stand_in.write(tmp_path, name, joints, {"known": 200, "new": 400})
    assert benchmark.synthetic and "synthetic imitation" in benchmark.title
    assert all("imitation" in method for method in benchmark.results)
    assert (published.load(benchmark, root=tmp_path) - joints).abs().max() < 0.005
    assert published.parts_of(benchmark, 600) == {"known": slice(0, 200), "new": slice(200, 600)}
    read_as = {}
    for method, file in benchmark.results.items():
        found = published.score_file(tmp_path / file, benchmark, root=tmp_path)
        assert found.measures == published.score(benchmark, method, tmp_path)
        assert found.parts["new"] > 1.2 * found.parts["known"]
        assert [warning for warning in found.warnings if "x y z" not in warning] == []
        read_as[method] = (found.space, found.unit_mm)
    assert set(read_as.values()) == (
        {("uvd", 1000.0)} if name == "itop" else {("uvd", 1.0), ("xyz", 1.0)}
    )


# --- errors -------------------------------------------------------------------


def test_a_method_with_another_number_of_frames_is_an_error(tmp_path):
    benchmark = published.BENCHMARKS["nyu"]
    row = " ".join(["100 100 700"] * benchmark.joints) + "\n"
    made.put(tmp_path / benchmark.labels, row * 3)
    made.put(tmp_path / benchmark.results["V2V-PoseNet"], row * 2)
    with pytest.raises(DataError, match="V2V-PoseNet has 2 frames and the labels have 3"):
        published.score("nyu", "V2V-PoseNet", tmp_path)


def test_unknown_names(tmp_path):
    with pytest.raises(HandPoseError, match="nyu"):
        published.load("nyx", root=tmp_path)
    with pytest.raises(HandPoseError, match="DenseReg"):
        published.load("nyu", "DensReg", root=tmp_path)
    with pytest.raises(HandPoseError, match="MSRA15 has no public labels"):
        published.load("msra", root=tmp_path)
    with pytest.raises(HandPoseError, match="uvd, xyz"):
        published.score_file(tmp_path / "p.txt", "nyu", space="xyd")


def test_available_lists_pairs_whose_two_files_are_there(tmp_path):
    assert published.available(tmp_path) == []
    benchmark = published.BENCHMARKS["icvl"]
    made.put(tmp_path / benchmark.results["Pose-REN"], "")
    assert published.available(tmp_path) == [], "without labels there is nothing to score"
    made.put(tmp_path / benchmark.labels, "")
    assert published.available(tmp_path) == [("icvl", "Pose-REN")]


def test_each_line_of_a_published_file_is_a_name_if_any_and_numbers(root):
    """Nothing is taken for an index."""
    for name, method in published.available(root):
        benchmark = published.BENCHMARKS[name]
        path = root / benchmark.results[method]
        found = files.read(path, benchmark.joints)
        assert not found.numbered and found.points.isfinite().all()
        if path.suffix == ".txt":
            words = [line.split() for line in path.read_text().splitlines()]
            numbers = [[word for word in line if _number(word)] for line in words]
            expected = np.array(numbers, dtype=float).reshape(found.points.shape)
            assert (found.points.numpy() == expected).all()


def _number(word):
    try:
        float(word)
    except ValueError:
        return False
    return True
