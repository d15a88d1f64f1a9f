"""Downloads from a faulty server: they continue or start again, and only a whole file is kept."""

import gzip
import hashlib
import http.server
import json
import threading
from typing import ClassVar

import numpy as np
import pytest

from data_scripts import itop as script
from data_scripts.support import downloads
from handpose_lib import datasets
from handpose_lib.datasets import itop
from handpose_lib.errors import DataError

CONTENT = bytes(range(256)) * 400
HASH = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
LIMIT = 1 << 20
CUT = 30_000


class Server(http.server.BaseHTTPRequestHandler):
    """Serves `files`; the first part of the path names the fault. `log` lists the Range headers."""

    files: ClassVar[dict[str, bytes]] = {}
    log: ClassVar[list[str | None]] = []
    lives: ClassVar[dict[str, int]] = {}

    def do_GET(self):
        _, behaviour, *rest = self.path.split("?")[0].split("/")
        body, asked = self.files.get("/".join(rest)), self.headers.get("Range")
        self.log.append(asked)
        visit = self.lives[behaviour] = self.lives.get(behaviour, 0) + 1
        if body is None or behaviour == "absent":
            return self.send_error(404)
        if behaviour == "busy" and visit < 3:
            return self.send_error(503)
        if behaviour == "wrong":
            body = body[::-1]
        if behaviour == "changed" and visit > 1:
            body = bytes(reversed(body))
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        start, tag = 0, self.headers.get("If-Range")
        if asked and behaviour != "rangeless" and (tag == etag or behaviour == "careless"):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                return self.send_error(416)
            self.send_response(206)
            first = start + 7 if behaviour == "shifted" else start
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        part = body[start:]
        if behaviour != "nameless":
            self.send_header("ETag", f"W/{etag}" if behaviour == "weak" else etag)
        if behaviour not in ("lengthless", "flood"):
            self.send_header(
                "Content-Length", str(10 * LIMIT if behaviour == "endless" else len(part))
            )
        if behaviour == "encoded":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        cut = {
            "breaks": CUT,
            "rangeless": CUT if visit < 3 else None,
            "changed": CUT if visit == 1 else None,
            "shifted": CUT,
            "nameless": CUT if visit == 1 else None,
            "weak": CUT if visit == 1 else None,
            "dead": 0,
        }.get(behaviour)
        if behaviour == "flood":
            part = part + bytes(2 * LIMIT)
        try:
            self.wfile.write(part[:cut])
        except OSError:
            pass  # the client closed the connection

    def log_message(self, format, *args):
        pass


@pytest.fixture
def server():
    Server.files, Server.log, Server.lives = {"file.bin": CONTENT}, [], {}
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def obtain(server, behaviour, folder, limit=LIMIT):
    return downloads.obtain(
        f"{server}/{behaviour}/file.bin",
        folder / "file.bin",
        HASH,
        limit,
        pause=0.001,
        progress=False,
    )


@pytest.mark.parametrize(
    "behaviour, ranges",
    [
        ("good", [None]),
        # 102,400 bytes, 30,000 at a time
        ("breaks", [None, f"bytes={CUT}-", f"bytes={2 * CUT}-", f"bytes={3 * CUT}-"]),
        ("rangeless", [None, f"bytes={CUT}-", f"bytes={CUT}-"]),  # cannot continue: starts again
        ("nameless", [None, None]),  # the file may have changed: starts again
        ("weak", [None, None]),
        ("busy", [None, None, None]),
        ("lengthless", [None]),
        ("encoded", [None]),  # the bytes are stored as they are
    ],
)
def test_what_can_be_obtained_is(tmp_path, server, behaviour, ranges):
    assert obtain(server, behaviour, tmp_path).read_bytes() == CONTENT
    assert Server.log == ranges and left(tmp_path) == ["file.bin"]


def test_a_later_run_goes_on(tmp_path, server, monkeypatch):
    monkeypatch.setattr(downloads, "ATTEMPTS", 1)
    Server.files["file.bin"] = CONTENT
    with pytest.raises(DataError, match="cannot be obtained.*a later run continues"):
        monkeypatch.setattr(downloads, "_receive", once(downloads._receive))
        obtain(server, "breaks", tmp_path)
    assert left(tmp_path) == ["file.bin.part", "file.bin.part.version"]
    assert (tmp_path / "file.bin.part").read_bytes() == CONTENT[:CUT]
    monkeypatch.undo()
    Server.log.clear()
    assert obtain(server, "good", tmp_path).read_bytes() == CONTENT
    assert Server.log == [f"bytes={CUT}-"] and left(tmp_path) == ["file.bin"]


def once(function):
    """The function at the first call; later calls find no network."""
    calls = []

    def wrapped(*arguments):
        calls.append(arguments)
        if len(calls) > 1:
            raise downloads.requests.ConnectionError("gone")
        return function(*arguments)

    return wrapped


def test_a_file_that_changed_meanwhile_starts_afresh_and_is_hashed(tmp_path, server):
    with pytest.raises(DataError, match="sent other bytes"):
        obtain(server, "changed", tmp_path)
    assert Server.log == [None, f"bytes={CUT}-"] and left(tmp_path) == []


def test_a_beginning_of_another_file_never_gets_into_a_whole_one(tmp_path, server):
    """The server ignores If-Range and continues after other bytes: the hash reveals it."""
    (tmp_path / "file.bin.part").write_bytes(b"foreign" * 100)
    (tmp_path / "file.bin.part.version").write_text('"old"')
    with pytest.raises(DataError, match="sent other bytes"):
        obtain(server, "careless", tmp_path)
    assert left(tmp_path) == []
    assert obtain(server, "careless", tmp_path).read_bytes() == CONTENT


def test_a_part_that_is_longer_than_the_file_is_dropped(tmp_path, server):
    (tmp_path / "file.bin.part").write_bytes(CONTENT + b"more")
    (tmp_path / "file.bin.part.version").write_text(f'"{hashlib.md5(CONTENT).hexdigest()}"')
    assert obtain(server, "good", tmp_path).read_bytes() == CONTENT
    assert left(tmp_path) == ["file.bin"]


@pytest.mark.parametrize(
    "behaviour, message, kept",
    [
        ("wrong", "sent other bytes than the file with the hash md5:", []),
        ("absent", "cannot be obtained .HTTPError: 404", []),
        ("endless", "announces 10,485,760 bytes; accepted are up to 1,048,576", []),
        ("dead", "cannot be obtained", ["file.bin.part", "file.bin.part.version"]),
        ("shifted", "cannot be obtained", []),
    ],
)
def test_what_cannot_be_obtained_is_named(tmp_path, server, behaviour, message, kept):
    with pytest.raises(DataError, match=message) as error:
        obtain(server, behaviour, tmp_path)
    assert f"{server}/{behaviour}/file.bin" in str(error.value) and "\n" not in str(error.value)
    assert [
        name for name in left(tmp_path) if not name.startswith("file.bin.part") or name in kept
    ] == kept
    assert not (tmp_path / "file.bin").exists()


def test_a_server_that_never_stops_is_stopped(tmp_path, server):
    with pytest.raises(DataError, match="sends more than 1,048,576 bytes"):
        obtain(server, "flood", tmp_path)
    assert left(tmp_path) == []


def test_no_server_and_no_room_are_named(tmp_path, server):
    with http.server.HTTPServer(("127.0.0.1", 0), Server) as closed:
        address = f"http://127.0.0.1:{closed.server_port}"
    with pytest.raises(DataError, match="accepted is a network that reaches it"):
        obtain(address, "good", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        obtain(server, "good", tmp_path / "file")
    assert left(tmp_path) == ["file"]


# --- a whole set --------------------------------------------------------------


@pytest.fixture
def record(server, tmp_path):
    """The archive's record with four small files of ITOP's format."""
    place = tmp_path / "made"
    place.mkdir()
    for part, person in (("train", 4), ("test", 0)):
        with itop.Writer(place, "front", part, 1) as writer:
            depth, joints = np.zeros((1, 240, 320)), np.full((1, 15, 3), 10.0) + [0, 0, 3000]
            depth[0, 100:140, 140:180] = 2950
            writer.add(
                0,
                [f"{person:02d}_00000"],
                depth,
                joints,
                np.ones((1, 15)),
                np.full((1, 240, 320), -1),
            )
    files = {f"{path.name}.gz": gzip.compress(path.read_bytes()) for path in place.glob("*.h5")}
    listed = [
        {"key": name, "checksum": f"md5:{hashlib.md5(content).hexdigest()}"}
        for name, content in files.items()
    ]
    Server.files = {
        f"records/{script.RECORD}/files/{name}": content for name, content in files.items()
    }
    Server.files[f"api/records/{script.RECORD}"] = json.dumps({"files": listed}).encode()
    return server


def test_itop_is_obtained_unpacked_and_read(tmp_path, record, monkeypatch, capsys):
    monkeypatch.setattr(script, "KNOWN", {})
    root = tmp_path / "itop"
    script.obtain(root, "front", f"{record}/breaks", pause=0.001)
    assert left(root) == sorted(
        f"ITOP_side_{part}_{kind}.h5"
        for part in ("train", "test")
        for kind in ("labels", "depth_map")
    )
    assert datasets.open("itop", root, split="test")[0].id == "00_00000"
    Server.log.clear()
    script.obtain(root, "front", f"{record}/breaks", pause=0.001)
    assert Server.log == []  # whole: no server is asked
    assert (
        script.main(["--root", str(root), "--check"]) == 1
    )  # a set of two frames is not the release
    message = capsys.readouterr()
    assert (
        "1 frames of front train; the release has 39,795" in message.err
        and "joints on the surface" in message.out
    )


def test_itop_from_another_record_is_refused(tmp_path, record, monkeypatch):
    with pytest.raises(DataError, match="the record has changed; nothing was fetched"):
        script.obtain(tmp_path / "itop", "front", f"{record}/good", pause=0.001)
    monkeypatch.setattr(script, "KNOWN", {})
    with pytest.raises(DataError, match="lists no ITOP_top_train_labels.h5.gz"):
        script.obtain(tmp_path / "itop", "top", f"{record}/good", pause=0.001)
    Server.files[f"api/records/{script.RECORD}"] = b"[]"
    with pytest.raises(DataError, match="sent no list of files"):
        script.obtain(tmp_path / "itop", "front", f"{record}/good", pause=0.001)
    with pytest.raises(DataError, match="cannot be reached"):
        script.obtain(tmp_path / "itop", "front", f"{record}/absent", pause=0.001)
    assert not (tmp_path / "itop").exists()
