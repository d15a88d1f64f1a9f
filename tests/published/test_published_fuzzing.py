"""Thousands of damaged prediction files, in every format: each is read, or refused by an error that
names it.
"""

import pytest
import torch

from handpose_lib import published
from handpose_lib.camera import xyz_to_uvd
from handpose_lib.published import files
from tests.support import pose_files as made
from tests.support.fuzzing import COUNT, fuzz

POINTS = made.moving(12, 4)
NAMES = [f"test_seq_1\\image_{i:04d}.png" for i in range(len(POINTS))]
METRES = (POINTS / 1000).numpy()

FORMATS = {
    "pixels.txt": made.lines(POINTS.abs()),
    "named, tabs, trailing.txt": made.lines(POINTS, NAMES, "\t", "\t0.9\r\n"),
    "counted.txt": f"{len(POINTS)}\n" + made.lines(POINTS),
    "array.mat": made.mat(
        made.matrix("size", [[640.0, 480.0]]), made.matrix("keypoints3D", METRES)
    ),
    "packed.mat": made.mat(
        made.packed(made.matrix("keypoints3D", METRES, matlab_class=7, kind=7, stored="f4"))
    ),
    "results.zip": made.zipped(
        {"train.py": b"import torch\n", "result.mat": made.mat(made.matrix("resultUVD", METRES))}
    ),
}
MEBIBYTES = 16
"""Such a file has a few kilobytes: `files.MEMORY` times as many, what may be unpacked, and what
Python keeps for itself.
"""


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_are_read_or_refused(tmp_path, name):
    content = FORMATS[name] if isinstance(FORMATS[name], bytes) else FORMATS[name].encode()

    def read(path):
        poses = files.read(path, 4)
        assert poses.points.shape[1:] == (4, 3) and bool(poses.points.isfinite().all())
        assert poses.names is None or len(poses.names) == len(poses)

    tally = fuzz(read, tmp_path / name, content, mebibytes=MEBIBYTES)
    assert sum(tally.values()) == COUNT >= 2000
    assert sum(count for (outcome, _), count in tally.items() if outcome == "refused") > COUNT / 10


def test_whatever_can_be_read_can_be_scored(tmp_path):
    """Absurd numbers, depths of 0, too few frames: a score with warnings, or one of our errors."""
    benchmark = published.BENCHMARKS["icvl"]
    labels = made.moving(12, benchmark.joints)
    content = made.lines(xyz_to_uvd(labels, torch.tensor(benchmark.intrinsics))).encode()
    fuzz(
        lambda path: published.score_file(path, "icvl", labels, root=tmp_path),
        tmp_path / "p.txt",
        content,
        count=300,
    )
