"""Every process finds the same folders, and nothing is written where nothing may be."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from handpose_lib import paths
from handpose_lib.errors import DataError
from handpose_lib.results import ledger, pretrained, records, tables
from handpose_lib.teaching import contents, exercises

ASK = (
    "from handpose_lib import paths; print(paths.data(), paths.personal(), paths.build(), sep='|')"
)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home folder, and no variable that moves a folder."""
    for name in list(os.environ):
        if name.startswith(("HANDPOSE_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(params=["checkout", "installed"])
def library(request, tmp_path):
    """A folder with as much of the library as finds folders, in a checkout or without one."""
    return copied(tmp_path / request.param)


@pytest.fixture
def checkout(tmp_path):
    return copied(tmp_path / "checkout")


def copied(root):
    (root / "handpose_lib").mkdir(parents=True)
    for name in ("__init__", "errors", "paths"):
        shutil.copy(paths.code() / "handpose_lib" / f"{name}.py", root / "handpose_lib")
    if root.name == "checkout":
        (root / "_toc.yml").touch()
        (root / "book").mkdir()
    return root


def ask(library, start, *before, **variables):
    """Return the folders for data, progress and builds that a process finds, and its stderr."""
    found = subprocess.run(
        [*before, sys.executable, "-c", ASK],
        cwd=start,
        env={**os.environ, "PYTHONPATH": str(library), "PYTHONDONTWRITEBYTECODE": "1"} | variables,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    return *map(Path, found.stdout.strip().split("|")), found.stderr


@pytest.mark.parametrize(
    "given, expected",
    [
        ("here/it is", "{base}/here/it is"),
        ('"here/it is"', "{base}/here/it is"),
        ("'~/sets'", "{home}/sets"),
        ("~/sets/../other ", "{home}/other"),
        ("{absolute}", "{absolute}"),
    ],
)
def test_a_path_means_the_same_wherever_a_process_starts(library, home, tmp_path, given, expected):
    base = library if library.name == "checkout" else home
    places = {"base": base, "home": home, "absolute": tmp_path / "absolute"}
    given, expected = given.format(**places), Path(expected.format(**places))
    for start in (library, library / "handpose_lib"):
        found = ask(library, start, HANDPOSE_DATA=given, HANDPOSE_BUILD=given)
        assert found == (expected, expected, expected, "")


def test_what_names_no_folder_is_refused_with_what_is_accepted(home, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    for given in (str(tmp_path / "file"), "~nobody-of-this-name/data"):
        monkeypatch.setenv("HANDPOSE_DATA", given)
        with pytest.raises(ValueError, match=r"HANDPOSE_DATA=.*accepted is"):
            paths.data()


def test_without_variables_a_checkout_keeps_everything_and_others_use_the_home(library, home):
    data, personal, build, said = ask(library, library)
    if library.name == "checkout":
        assert (data, personal, build) == (library / "data", library / "data", library / "_build")
    else:
        for place in (data, personal, build):
            assert place.is_relative_to(home) and "handpose-book" in place.parts
    assert said == ""


def read_only(folder):
    """Return what a command has to follow to find a folder that it cannot write to.

    The rights of a folder do not bind root, who therefore gets a mount of its own.
    """
    if os.name == "posix" and os.geteuid():
        folder.chmod(0o555)
        return []
    if shutil.which("unshare") is None:
        pytest.skip("there is no program unshare, with which root gets a read-only mount")
    place = shlex.quote(str(folder))
    mount = f'mount --bind {place} {place} && mount -o remount,bind,ro {place} && exec "$@"'
    before = ["unshare", "--mount", "sh", "-c", mount, "sh"]
    if subprocess.run([*before, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets root make no read-only mount")
    return before


def test_a_read_only_checkout_sends_everything_to_the_user_with_one_line(checkout, home):
    before = read_only(checkout)
    data, personal, build, said = ask(checkout, home.parent, *before)
    assert data == personal and data.is_relative_to(home) and build.is_relative_to(home)
    (line,) = said.splitlines()
    assert str(checkout) in line and str(build) in line and "HANDPOSE_BUILD" in line


def test_data_of_a_read_only_checkout_are_read_and_progress_goes_to_the_user(checkout, home):
    (checkout / "data").mkdir()
    before = read_only(checkout)
    data, personal, *_ = ask(checkout, home.parent, *before)
    assert data == checkout / "data" and personal.is_relative_to(home)


def test_the_moved_build_of_a_read_only_checkout_says_nothing(checkout, home, tmp_path):
    before = read_only(checkout)
    *_, build, said = ask(checkout, tmp_path, *before, HANDPOSE_BUILD=str(tmp_path / "b"))
    assert build == tmp_path / "b" and said == ""


@pytest.mark.parametrize(
    "missing, read",
    [
        ("book/records", pretrained.names),
        ("book/records", records.find),
        ("book/records", records.load_all),
        ("book/tables", lambda: tables.load("jgr_p2o")),
        ("book/tables/ledger.json", ledger.load),
        ("_config.yml", ledger.repository.__wrapped__),
        ("_toc.yml", contents.pages),
        ("_toc.yml", exercises.chapters),
    ],
)
def test_missing_content_is_named_with_what_restores_it(tmp_path, monkeypatch, missing, read):
    monkeypatch.setattr(paths, "project", lambda: tmp_path)
    with pytest.raises(DataError) as error:
        read()
    assert str(tmp_path / missing) in str(error.value) and "restores" in str(error.value)


def test_a_missing_chapter_is_not_left_out_silently(tmp_path, monkeypatch):
    (tmp_path / "_toc.yml").write_text("root: book/index\n- file: book/one\n", encoding="utf-8")
    monkeypatch.setattr(paths, "project", lambda: tmp_path)
    with pytest.raises(DataError, match=r"index\.ipynb is missing"):
        exercises.chapters()


def test_no_record_is_written_into_an_installed_package(tmp_path, monkeypatch):
    record = records.load(paths.records() / "hand_detector")
    monkeypatch.setattr(paths, "checkout", lambda: None)
    with pytest.raises(ValueError, match="belongs to the installed package"):
        records.write(record)
    assert records.write(record, tmp_path / "own").folder == tmp_path / "own"
