"""The text files of published predictions: the format on hand-built files, the figures on the real ones.

The figures are held against what is printed where the data folder has the files (`published/`). Where
it does not, the same test runs on files built here whose errors are known.
"""

import pytest
import torch

from handpose_lib import metrics, published
from handpose_lib.camera import xyz_to_uvd
from handpose_lib.errors import DataError, HandPoseError


def written(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def lines(uvd):
    """Joints `(N, J, 3)` in the community's format, six decimals."""
    return "".join(" ".join(f"{number:.6f}" for number in frame) + "\n" for frame in uvd.flatten(1).tolist())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The published folder: the real one where it is complete, else one built by hand.

    In the hand-built one every method misses each joint by just its printed error, so that both
    folders must give the same figures.
    """
    complete = sum(len(benchmark.results) for benchmark in published.BENCHMARKS.values())
    if len(published.available()) == complete:
        return published.folder()
    root = tmp_path_factory.mktemp("published")
    generator = torch.Generator().manual_seed(1)
    for benchmark in published.BENCHMARKS.values():
        camera = torch.tensor(benchmark.intrinsics, dtype=torch.float64)
        joints = torch.rand(40, benchmark.joints, 3, generator=generator, dtype=torch.float64) * 200
        joints += torch.tensor([-100.0, -100.0, 400.0])
        written(root / benchmark.labels, lines(xyz_to_uvd(joints, camera)))
        for file, printed in benchmark.results.values():
            direction = torch.randn(joints.shape, generator=generator, dtype=torch.float64)
            missed = joints + printed * direction / direction.norm(dim=-1, keepdim=True)
            written(root / file, lines(xyz_to_uvd(missed, camera)))
    return root


@pytest.mark.parametrize(
    "name, method", [(name, method) for name, b in published.BENCHMARKS.items() for method in b.results]
)
def test_the_printed_figure_is_found_again(files, name, method):
    _, printed = published.BENCHMARKS[name].results[method]
    found = published.score(name, method, files)["mean_joint_error_mm"]
    assert abs(found - printed) <= 0.0005 + 1e-6, "half of the last printed digit"


def test_labels_against_themselves_have_no_error(files):
    for name in published.BENCHMARKS:
        labels = published.load(name, root=files)
        assert metrics.mean_joint_error(labels, labels).item() == 0.0


def test_blanks_tabs_and_empty_lines(tmp_path):
    path = written(tmp_path / "p.txt", "1 2.5\t3  4 5 6 \n\n-1 -2 -3\t-4 -5e0 -6\r\n\n")
    found = published.read(path, joints=2)
    assert found.names is None
    assert found.points.dtype == torch.float64
    assert found.points.tolist() == [[[1, 2.5, 3], [4, 5, 6]], [[-1, -2, -3], [-4, -5, -6]]]


def test_a_leading_image_name(tmp_path):
    path = written(tmp_path / "p.txt", "test_seq_1\\image_0000.png\t1\t2\t3\ntest_seq_1/image_0001.png 4 5 6\n")
    found = published.read(path, joints=1)
    assert found.names == ["test_seq_1/image_0000.png", "test_seq_1/image_0001.png"]
    assert found.points.tolist() == [[[1, 2, 3]], [[4, 5, 6]]]


def test_trailing_fields_only_where_allowed(tmp_path):
    path = written(tmp_path / "p.txt", "1 2 3 0.9 extra\n4 5 6\n")
    with pytest.raises(DataError, match=r"line 1: 5 numbers, where 1 joints need 3"):
        published.read(path, joints=1)
    assert published.read(path, joints=1, trailing=True).points.tolist() == [[[1, 2, 3]], [[4, 5, 6]]]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "holds no frame"),
        ("\n \n", "holds no frame"),
        ("1 2 3 4 5 6\n1 2 3 4 5\n", r"line 2: 5 numbers, where 2 joints need 6"),
        ("1 2 3 4 5 nan\n", r"line 1: 'nan' is not a finite number"),
        ("1 2 3 four 5 6\n", r"line 1: 'four' is not a finite number"),
        ("a.png 1 2 3 4 5 6\n1 2 3 4 5 6\n", r"line 2: some lines begin with an image name"),
        ("1 2 3 4 5 6\na.png 1 2 3 4 5 6\n", r"line 2: some lines begin with an image name"),
    ],
)
def test_a_broken_file_names_itself_and_the_line(tmp_path, text, message):
    path = written(tmp_path / "broken.txt", text)
    with pytest.raises(DataError, match=message) as caught:
        published.read(path, joints=2)
    assert "broken.txt" in str(caught.value)


def test_absent_and_binary_files(tmp_path):
    with pytest.raises(DataError, match="absent.txt does not exist"):
        published.read(tmp_path / "absent.txt", joints=2)
    (tmp_path / "picture.txt").write_bytes(bytes(range(128, 256)))
    with pytest.raises(DataError, match="picture.txt cannot be read as text"):
        published.read(tmp_path / "picture.txt", joints=2)


def test_a_method_with_another_number_of_frames_is_an_error(tmp_path):
    benchmark = published.BENCHMARKS["nyu"]
    row = " ".join(["100 100 700"] * benchmark.joints) + "\n"
    written(tmp_path / benchmark.labels, row * 3)
    written(tmp_path / benchmark.results["V2V-PoseNet"][0], row * 2)
    with pytest.raises(DataError, match="V2V-PoseNet has 2 frames and the labels have 3"):
        published.score("nyu", "V2V-PoseNet", tmp_path)


def test_unknown_names_and_sizes(tmp_path):
    with pytest.raises(HandPoseError, match="nyu"):
        published.load("nyx", root=tmp_path)
    with pytest.raises(HandPoseError, match="DenseReg"):
        published.load("nyu", "DensReg", root=tmp_path)
    with pytest.raises(HandPoseError, match="at least 1"):
        published.read(tmp_path / "p.txt", joints=0)


def test_available_lists_pairs_whose_two_files_are_there(tmp_path):
    assert published.available(tmp_path) == []
    benchmark = published.BENCHMARKS["icvl"]
    written(tmp_path / benchmark.results["Pose-REN"][0], "")
    assert published.available(tmp_path) == [], "without labels there is nothing to score"
    written(tmp_path / benchmark.labels, "")
    assert published.available(tmp_path) == [("icvl", "Pose-REN")]
