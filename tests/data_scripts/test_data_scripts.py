"""The data scripts: what they leave behind when all goes well, and when it does not."""

import hashlib
import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from importlib import import_module

import pytest
import torch

from data_scripts.formats import msra as format_of_msra
from data_scripts.support import fetching
from handpose_lib import datasets, paths, prepare
from handpose_lib.camera import xyz_to_uvd
from handpose_lib.dataset_specs import preset
from handpose_lib.datasets import msra

FOLDER = paths.project() / "data_scripts"


def load(name):
    return import_module(f"data_scripts.{name}")


# --- downloads ----------------------------------------------------------------

CONTENT = b"depth " * 5000


class Misbehaving(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT; what comes first in the path says how it misbehaves."""

    def do_GET(self):
        behaviour = self.path.split("/")[1]
        body = {"wrong": CONTENT[::-1], "short": CONTENT[:-7]}.get(behaviour, CONTENT)
        if behaviour == "absent":
            return self.send_error(404)
        self.send_response(200)
        self.send_header(
            "Content-Length", str(len(CONTENT) if behaviour == "truncated" else len(body))
        )
        self.end_headers()
        self.wfile.write(body[:9000] if behaviour == "truncated" else body)

    def log_message(self, format, *args):
        pass


@pytest.fixture(scope="module")
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Misbehaving) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def files(count=2):
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    return [
        fetching.Remote(
            f"published/set/file {i}++.txt", "o/r", "c0ffee", f"a/file {i}++.txt", sha256
        )
        for i in range(count)
    ]


def left_behind(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("behaviour", ["wrong", "short", "truncated", "absent"])
def test_bad_download_leaves_nothing_and_says_what_happened(tmp_path, server, capsys, behaviour):
    assert (
        fetching.run("", files(), ["--out", str(tmp_path), "--server", f"{server}/{behaviour}"])
        == 1
    )
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("error: http://127.0.0.1") and "file%200%2B%2B.txt" in message
    assert left_behind(tmp_path) == []


def test_no_network_is_one_clear_error(tmp_path, capsys):
    # a port that nobody listens on: bound, then given back
    with http.server.HTTPServer(("127.0.0.1", 0), Misbehaving) as closed:
        address = f"http://127.0.0.1:{closed.server_port}"
    assert fetching.run("", files(), ["--out", str(tmp_path), "--server", address]) == 1
    assert "cannot be reached" in capsys.readouterr().err
    assert left_behind(tmp_path) == []


def test_files_are_obtained_once_and_damaged_ones_again(tmp_path, server, capsys):
    wanted, arguments = files(), ["--out", str(tmp_path), "--server", f"{server}/good"]
    assert fetching.run("", wanted, [*arguments, "--check"]) == 1
    assert capsys.readouterr().err.count("missing: ") == 2
    assert fetching.run("", wanted, arguments) == 0
    assert [(tmp_path / file.place).read_bytes() for file in wanted] == [CONTENT, CONTENT]
    assert fetching.run("", wanted, [*arguments, "--check"]) == 0
    whole = ["--out", str(tmp_path), "--server", "http://127.0.0.1:9"]
    assert fetching.run("", wanted, whole) == 0  # nothing to obtain, so no server is asked
    (tmp_path / wanted[0].place).write_bytes(CONTENT[:100])
    capsys.readouterr()
    assert fetching.run("", wanted, [*arguments, "--check"]) == 1
    assert capsys.readouterr().err.count("damaged: ") == 1
    assert fetching.run("", wanted, arguments) == 0
    assert (tmp_path / wanted[0].place).read_bytes() == CONTENT
    assert left_behind(tmp_path / "published" / "set") == ["file 0++.txt", "file 1++.txt"]


@pytest.mark.parametrize(
    "name, count, place",
    [
        ("fetch_sr305", 21, "real_frames/sr305/"),
        ("fetch_published", 22, "published/"),
    ],
)
def test_tables_of_files_are_sound(name, count, place):
    wanted = load(name).FILES
    assert len({file.place for file in wanted}) == len(wanted) == count
    for file in wanted:
        assert (
            file.place.startswith(place) and file.place.split("/")[-1] == file.path.split("/")[-1]
        )
        assert (
            len(file.sha256) == 64
            and int(file.sha256, 16)
            and len(file.commit) == 40
            and int(file.commit, 16)
        )
        assert file.url().startswith(
            f"https://raw.githubusercontent.com/{file.repository}/{file.commit}/"
        )


# --- synthetic frames ---------------------------------------------------------


@pytest.fixture(scope="module")
def make_synthetic():
    """The script, with three gestures instead of 17: whatever it does, it does per folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(msra, "GESTURES", ("1", "T", "Y"))
        yield import_module("data_scripts.make_synthetic")


@pytest.fixture(scope="module")
def made(make_synthetic, tmp_path_factory):
    out = tmp_path_factory.mktemp("synthetic") / "msra-tiny"
    assert make_synthetic.main(["--frames-per-gesture", "2", "--out", str(out), "--seed", "5"]) == 0
    return out


def test_synthetic_set_is_read_by_the_loader_of_the_real_one(made):
    train, test = (datasets.open("msra", made, split=split) for split in ("train", "test"))
    assert (len(train), len(test)) == (8 * 3 * 2, 3 * 2)
    assert isinstance(train, msra.Msra) and train.synthetic and train.release == "synthetic"
    settings = train.settings()
    assert (
        settings["seed"] == 5
        and settings["frames_per_gesture"] == 2
        and settings["distribution"]["name"] == "wide_view"
    )
    assert left_behind(made.parent)[0] == "msra-tiny" and not list(made.parent.glob(".*"))


def test_joints_of_the_synthetic_set_lie_on_its_hands(made):
    """Signs, bounds and pixel centres survive the file: most joints are just under the surface seen
    there.
    """
    frames = datasets.open("msra", made, split="all")
    near = []
    for frame in frames:
        assert frame.joints is not None
        u, v, d = xyz_to_uvd(frame.joints, frame.camera).unbind(-1)
        u, v = u.round().long(), v.round().long()
        inside = (u >= 0) & (u < 320) & (v >= 0) & (v < 240)
        seen = frame.depth[v[inside], u[inside]]
        near.append(
            ((seen > 0) & (seen < d[inside] + 10) & (seen > d[inside] - 80)).double().mean()
        )
    # a hand hides some of its own joints and a sensor loses some pixels; a wrong sign would leave
    # almost none
    assert torch.stack(near).mean() > 0.7


def test_synthetic_frames_are_those_of_the_generator(made):
    wanted = datasets.open("msra", made).settings()
    rendered = format_of_msra.render([2 * (3 * 3 + 1) + 1], 3, "T", wanted)
    frame = datasets.open("msra", made, split="test", subject=3, gestures=["T"])[1]
    expected = format_of_msra.keep_window(rendered.depth, rendered.joints, rendered.camera)[0]
    assert frame.id == "P3/T/000001" and torch.equal(frame.depth, expected)
    assert frame.joints is not None and frame.centre is not None
    assert (frame.joints - rendered.joints[0]).abs().max() < 1.2e-4  # four decimals, float32
    assert (frame.centre - rendered.centre[0]).abs().max() < 1.2e-4


@pytest.mark.parametrize("centre", ["mass", "outline", "stored", "true"])
def test_synthetic_frames_can_be_prepared(made, centre):
    test = datasets.open("msra", made, split="test")
    crops = prepare.batch(test.frames(range(len(test))), 250.0, centre)
    image = prepare.image(crops, 64)
    assert (
        image.isfinite().all() and ((image < 1).double().mean((1, 2, 3)) > 0.02).all()
    )  # a hand is in each


def test_window_keeps_the_cube_and_nothing_behind_or_beside_it():
    depth = torch.full((1, 240, 320), 400.0)
    depth[0, :, :160] = 900
    joints = torch.tensor([[[0.0, 0.0, 500.0]]])
    kept = format_of_msra.keep_window(depth, joints, preset("msra"))[0]
    rows, columns = kept.nonzero().unbind(1)
    reach = 150 * 241.42 / 500
    assert columns.min() == 160 and columns.max() == int(160 + reach)
    assert rows.min() == -int(reach) + 120 and rows.max() == int(reach) + 120


def test_made_again_with_the_same_settings_nothing_happens(make_synthetic, made, capsys):
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    assert (
        make_synthetic.main(["--frames-per-gesture", "2", "--out", str(made), "--seed", "5"]) == 0
    )
    assert "already there" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before


def test_other_settings_are_refused_unless_forced(make_synthetic, tmp_path, capsys):
    out = tmp_path / "set"
    out.mkdir()
    (out / "synthetic.json").write_text('{"seed": 1}')
    assert make_synthetic.main(["--frames-per-gesture", "1", "--out", str(out)]) == 1
    message = capsys.readouterr().err
    assert (
        message.startswith(f"error: {out}: made with other settings")
        and "seed" in message
        and "--force" in message
    )
    assert left_behind(out) == ["synthetic.json"]
    arguments = [
        "--frames-per-gesture",
        "1",
        "--out",
        str(out),
        "--distribution",
        "msra_like",
        "--force",
    ]
    assert make_synthetic.main(arguments) == 0
    assert len(datasets.open("msra", out, split="all")) == 9 * 3


def test_a_folder_that_is_not_synthetic_is_never_replaced(make_synthetic, tmp_path, capsys):
    (tmp_path / "real" / "P0").mkdir(parents=True)
    assert make_synthetic.main(["--out", str(tmp_path / "real"), "--force"]) == 1
    assert "no synthetic.json" in capsys.readouterr().err
    assert left_behind(tmp_path) == ["real", "real/P0"]


def test_bad_places_and_counts_are_named(make_synthetic, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert (
        make_synthetic.main(["--frames-per-gesture", "1", "--out", str(tmp_path / "file" / "set")])
        == 1
    )
    assert "cannot be written" in capsys.readouterr().err
    for count in ("0", "-3", "1000000"):
        assert (
            make_synthetic.main(["--frames-per-gesture", count, "--out", str(tmp_path / "set")])
            == 1
        )
        assert "accepted are 1 to 999999" in capsys.readouterr().err
    assert left_behind(tmp_path) == ["file"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--format", "kinect"], "argument --format: invalid choice: 'kinect'"),
        (["--size", "huge"], "argument --size: invalid choice: 'huge'"),
        (["--distribution", "narrow"], "argument --distribution: invalid choice: 'narrow'"),
        (["--frames", "many"], "invalid int value: 'many'"),
        (["--seed", "-1", "--frames", "1", "--out", "set"], "seed -1"),
        (["--out", ""], "is there and has no synthetic.json"),
        (["--out", "notes.txt"], "is there and has no synthetic.json"),
        (["--out", "broken"], "accepted is a JSON object"),
    ],
)
def test_silly_calls_end_with_one_clear_line(
    make_synthetic, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("not a set")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "synthetic.json").write_text('{"seed": ')
    before = left_behind(tmp_path)
    try:
        code = make_synthetic.main(arguments)
    except SystemExit as error:  # argparse's own
        code = error.code
    last = capsys.readouterr().err.rpartition("\r")[2].strip().splitlines()[-1]
    assert code and "error: " in last and message in last and left_behind(tmp_path) == before


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_in_the_middle_nothing_is_left_under_the_name(make_synthetic, tmp_path, how):
    out = tmp_path / "set"
    partial = out.with_name(".set.partial")
    command = [
        sys.executable,
        str(FOLDER / "make_synthetic.py"),
        "--frames-per-gesture",
        "40",
        "--out",
        str(out),
    ]
    process = subprocess.Popen(
        command, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    deadline = time.monotonic() + 120
    while not list(partial.glob("P0/*/*_depth.bin")):
        assert process.poll() is None and time.monotonic() < deadline, "nothing was rendered"
        time.sleep(0.02)
    process.send_signal(how)
    assert process.wait(60) != 0
    assert not out.exists()
    if how == signal.SIGTERM:
        assert left_behind(tmp_path) == []
    else:  # what a killed run left is cleared away by the next one
        assert (
            make_synthetic.main(
                ["--frames-per-gesture", "1", "--distribution", "msra_like", "--out", str(out)]
            )
            == 0
        )
        assert left_behind(tmp_path)[0] == "set" and not partial.exists()
