"""Makers and downloaders that run at the same time, on a full disk, or are stopped."""

import faulthandler
import gzip
import hashlib
import http.server
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from data_scripts import formats, make_synthetic
from data_scripts.support import archives, downloads, fetching
from handpose_lib import paths
from handpose_lib.errors import DataError
from tests.support.small_disk import small_disk

FORK = multiprocessing.get_context("fork")


def wanted(seed=0, name="hands17", frames=3):
    """Return the settings of a set of a few frames."""
    return make_synthetic.settings(formats.get(name), frames, "msra_like", seed)


def content(folder):
    """Return the digest of each file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def make(out, seed, force, made):
    torch.set_num_threads(1)
    made.put(make_synthetic.make(out, wanted(seed), force))


def at_once(out, seeds, force=False):
    """Start one maker for each seed at the same time; return what each did."""
    made = FORK.Queue()
    makers = [FORK.Process(target=make, args=(out, seed, force, made)) for seed in seeds]
    for maker in makers:
        maker.start()
    results = [made.get(timeout=300) for _ in makers]
    for maker in makers:
        maker.join()
    assert [maker.exitcode for maker in makers] == [0] * len(makers)
    return results


@pytest.mark.race
def test_four_makers_of_one_set_render_it_once(tmp_path):
    assert sorted(at_once(tmp_path / "set", [0] * 4)) == [False, False, False, True]
    make_synthetic.make(tmp_path / "other", wanted())
    assert content(tmp_path / "set") == content(tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "set"]


@pytest.mark.race
def test_four_makers_that_replace_each_others_set_leave_a_whole_one(tmp_path):
    assert at_once(tmp_path / "set", [1, 2, 3, 4], force=True) == [True] * 4
    seed = json.loads((tmp_path / "set" / "synthetic.json").read_text())["seed"]
    make_synthetic.make(tmp_path / "other", wanted(seed))
    assert content(tmp_path / "set") == content(tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "set"]


def test_a_set_is_there_again_after_a_kill_between_the_two_renamings(tmp_path):
    make_synthetic.make(tmp_path / "set", wanted())
    before = content(tmp_path / "set")
    (tmp_path / "set").rename(tmp_path / ".set.before")
    assert make_synthetic.make(tmp_path / "set", wanted()) is False
    assert content(tmp_path / "set") == before
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize("name", [name for name in formats.names() if name != "itop"])
def test_a_full_disk_is_one_line_and_leaves_the_set_that_was_there(tmp_path, name):
    with small_disk(tmp_path / "disk", 400_000) as disk:
        (disk / "set").mkdir()
        (disk / "set" / "synthetic.json").write_text('{"seed": 7}')
        with pytest.raises(DataError, match="set cannot be written") as said:
            make_synthetic.make(disk / "set", wanted(name=name, frames=60), force=True)
        assert "\n" not in str(said.value) and "room" in str(said.value)
        assert [path.name for path in disk.iterdir()] == ["set"]
        assert [path.name for path in (disk / "set").iterdir()] == ["synthetic.json"]


def fill_with_itop(out):
    faulthandler.disable()  # the crash is expected, and its trace would look like one of the tests'
    torch.set_num_threads(1)
    make_synthetic.make(out, wanted(name="itop", frames=60), True)


def test_a_full_disk_under_hdf5_leaves_the_set_that_was_there(tmp_path):
    """HDF5 may end its process when it closes a file that does not fit: hence one of its own."""
    with small_disk(tmp_path / "disk", 400_000) as disk:
        (disk / "set").mkdir()
        (disk / "set" / "synthetic.json").write_text('{"seed": 7}')
        maker = FORK.Process(target=fill_with_itop, args=(disk / "set",))
        maker.start()
        maker.join()
        assert maker.exitcode != 0
        assert [path.name for path in (disk / "set").iterdir()] == ["synthetic.json"]
        assert make_synthetic.make(disk / "set", wanted(frames=1), True)  # what fits, afterwards
        assert [path.name for path in disk.iterdir()] == ["set"]


def test_ctrl_c_is_one_line(tmp_path):
    command = [sys.executable, "-m", "data_scripts.make_synthetic", "--out", str(tmp_path / "set")]
    process = subprocess.Popen(
        [*command, "--frames", "60"],
        cwd=paths.code(),
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # a shell that starts the tests in the background lets them ignore the signal
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 300
    while not list((tmp_path / ".set.partial").glob("P0/*/*_depth.bin")):
        assert process.poll() is None and time.monotonic() < deadline, "nothing was rendered"
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130 and "Traceback" not in said
    assert said.strip().splitlines()[-1].startswith("interrupted;")
    assert list(tmp_path.iterdir()) == []


# --- downloads ----------------------------------------------------------------

BYTES = b"depth" * 20_000
SHA256 = hashlib.sha256(BYTES).hexdigest()


class Counting(http.server.BaseHTTPRequestHandler):
    """Serves the same bytes for every path, slowly, and counts how often."""

    asked = 0

    def do_GET(self):
        type(self).asked += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(BYTES)))
        self.end_headers()
        time.sleep(0.2)
        self.wfile.write(BYTES)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def server():
    Counting.asked = 0
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Counting) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def fetch(target, server):
    remote = fetching.Remote("set/file.bin", "o/r", "c0ffee", "file.bin", SHA256)
    fetching.fetch(remote, target.parents[1], server)


def obtain(target, server):
    downloads.obtain(f"{server}/file.bin", target, f"sha256:{SHA256}", 10**7, 0.01, False)


@pytest.mark.race
@pytest.mark.parametrize("download", [fetch, obtain])
def test_four_downloaders_of_one_file_ask_the_server_once(tmp_path, server, download):
    target = tmp_path / "set" / "file.bin"
    many = [FORK.Process(target=download, args=(target, server)) for _ in range(4)]
    for one in many:
        one.start()
    for one in many:
        one.join()
    assert [one.exitcode for one in many] == [0] * 4
    assert target.read_bytes() == BYTES and Counting.asked == 1
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == [
        "set",
        "set/file.bin",
    ]


@pytest.mark.parametrize("download", [fetch, obtain])
def test_a_download_to_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, server, download):
    with small_disk(tmp_path / "disk", 50_000) as disk:
        with pytest.raises(DataError, match="cannot be written") as said:
            download(disk / "set" / "file.bin", server)
        assert "\n" not in str(said.value)
        left = [path.name for path in disk.rglob("*") if path.is_file()]
        # a download that can be continued keeps what it has
        assert left == [] or download is obtain


def test_what_a_killed_download_left_is_removed(tmp_path, server):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "tmpabcd1234").write_bytes(b"half")
    fetch(tmp_path / "set" / "file.bin", server)
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["file.bin"]


def test_unpacking_to_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    packed = tmp_path / "file.gz"
    packed.write_bytes(gzip.compress(bytes(10**6)))
    with small_disk(tmp_path / "disk", 100_000) as disk:
        with pytest.raises(DataError, match="room for its content"):
            archives.gunzip(packed, disk / "file", 10**7)
        assert list(Path(disk).iterdir()) == []
