"""Builds that are killed, and builds beside others: real small ones, in a folder of their own."""

import atexit
import json
import multiprocessing
import os
import platform
import shutil
import signal
import subprocess
import sys
import time

import nbformat
import pytest

from pipeline.site import build_lock

WAITS = "import pathlib, time\nwhile not pathlib.Path('../../go').exists():\n    time.sleep(0.05)"
CHAPTERS = {"foundations/quick": "1 + 1", "foundations/slow": WAITS}
TARGETS = [f"_build/executed/{name}.ipynb" for name in CHAPTERS]


@pytest.fixture(scope="module")
def book(tmp_path_factory, project):
    """A book of two chapters, of which one goes on until there is a file `go`."""
    root = tmp_path_factory.mktemp("interrupted")
    shutil.copy(project / "Snakefile", root)
    for name in ("handpose_lib", "pipeline", "profiles"):
        shutil.copytree(project / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    listed = "".join(f"  - file: book/{name}\n" for name in CHAPTERS)
    (root / "_toc.yml").write_text(
        f"format: jb-book\nroot: book/index\nparts:\n- caption: Part\n  chapters:\n{listed}",
        encoding="utf-8",
    )
    (root / "book" / "foundations").mkdir(parents=True)
    (root / "book" / "index.md").write_text("# A book\n", encoding="utf-8")
    for name, source in CHAPTERS.items():
        notebook = nbformat.v4.new_notebook(
            metadata={
                "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
                "language_info": {"name": "python"},
            },
            cells=[nbformat.v4.new_code_cell(source, id="cell")],
        )
        nbformat.write(notebook, root / "book" / f"{name}.ipynb")
    return root


def build(root):
    """Start a build as `make book` does, in a process group of its own, like a terminal's."""
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores=2", *TARGETS],
        cwd=root,
        env={
            **os.environ,
            "PYTHONPATH": str(root),
            "HANDPOSE_DATA": str(root / "data"),
            "HANDPOSE_BUILD": str(root / "_build"),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # where the tests run under nohup, it would be ignored here as well
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )


def at_work(root, running):
    """Wait until the slow chapter is being executed; return what the lock says about the build."""
    while not (root / "_build" / "executed" / "foundations" / "slow.unfinished.ipynb").exists():
        assert running.poll() is None, running.communicate()[1]
        time.sleep(0.05)
    return build_lock.read(root / "_build" / "build.lock.json")


def kill_snakemake(running):
    running.kill()


def close_the_terminal(running):
    """The kernels have sessions of their own, and get no signal."""
    os.killpg(running.pid, signal.SIGHUP)


def test_a_killed_build_continues_and_a_living_one_is_refused_by_name(book):
    """One build is killed, the next loses its terminal, and the third ends, each as it is told."""
    tokens = []
    for end in (kill_snakemake, close_the_terminal):
        running = build(book)
        facts = at_work(book, running)
        tokens.append(facts["token"])
        assert facts["process"] == running.pid
        if end is kill_snakemake:
            second = build(book)
            told = second.communicate()[1].splitlines()[-1]
            assert second.returncode == 1
            assert f"process {running.pid} on {facts['host']}, since {facts['since']}" in told
        end(running)
        running.wait()
        (book / "_build" / "executed" / "foundations" / "slow.unfinished.ipynb").unlink()
    (book / "go").touch()
    last = build(book)
    told = last.communicate()[1]
    assert last.returncode == 0, told
    assert f"was interrupted: process {running.pid} on" in told
    assert all((book / target).exists() for target in TARGETS)
    assert [build_lock.processes(token) for token in tokens] == [[], []]
    assert not (book / "_build" / "build.lock.json").exists()


# --- what only the file beside the lock tells ---------------------------------


def held(folder):
    """Hold the lock in a process of its own; return its exit status and what it said."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"from pathlib import Path; from pipeline.site import build_lock;"
            f" build_lock.hold(Path({str(folder)!r}))",
        ],
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr


def build_at_once(folder, ready, done, over):
    ready.wait(60)
    try:
        build_lock.hold(folder)
    except SystemExit as refused:
        done.put(str(refused))
        return
    done.put("")
    over.wait(60)
    atexit._run_exitfuncs()  # a forked process of multiprocessing leaves them out


@pytest.mark.race
def test_of_four_builds_that_start_at_once_one_runs(tmp_path):
    """The others name it, or say that it has only just started."""
    context = multiprocessing.get_context("fork")
    ready, done, over = context.Barrier(4), context.Queue(), context.Event()
    builds = [
        context.Process(target=build_at_once, args=(tmp_path, ready, done, over)) for _ in range(4)
    ]
    for one in builds:
        one.start()
    said = sorted(done.get(timeout=60) for _ in builds)
    running = build_lock.read(tmp_path / "build.lock.json")["process"]
    over.set()
    for one in builds:
        one.join()
    assert [one.exitcode for one in builds] == [0] * 4 and said[0] == "" and "" not in said[1:]
    assert running in [one.pid for one in builds]
    for text in said[1:]:
        assert "another build is running here" in text and "\n" not in text
        assert f"process {running} on" in text or "only just started" in text
    assert [path.name for path in tmp_path.iterdir()] == ["build.lock"]


def left_by(folder, host, silent_s=0.0):
    facts = folder / "build.lock.json"
    facts.write_text(
        json.dumps(
            {"process": 1, "host": host, "since": "2024-02-29 12:00:00", "token": "nobody's"}
        )
    )
    now = time.time()
    os.utime(facts, (now - silent_s, now - silent_s))
    return facts


def test_a_build_of_another_computer_is_believed_while_it_gives_signs_of_life(tmp_path):
    facts = left_by(tmp_path, "elsewhere", build_lock.SILENT_S / 2)
    status, told = held(tmp_path)
    assert status == 1 and len(told.splitlines()) == 1
    assert "process 1 on elsewhere, since 2024-02-29 12:00:00" in told and str(facts) in told
    assert facts.exists()


@pytest.mark.parametrize(
    "host, silent_s", [("elsewhere", 2 * build_lock.SILENT_S), (platform.node(), 0.0)]
)
def test_a_silent_build_and_one_before_a_restart_are_over(tmp_path, host, silent_s):
    left_by(tmp_path, host, silent_s)
    status, told = held(tmp_path)
    assert status == 0 and f"interrupted: process 1 on {host}" in told


@pytest.mark.parametrize(
    "text", ["", '{"process": 1, "ho', "\0" * 64], ids=["empty", "cut off", "zeros"]
)
def test_facts_lost_in_a_power_cut_stop_nothing(tmp_path, text):
    (tmp_path / "build.lock.json").write_text(text)
    assert held(tmp_path) == (0, "")


def test_a_build_gives_signs_of_life(tmp_path):
    facts = tmp_path / "build.lock.json"
    script = (
        "import sys, time; from pathlib import Path; from pipeline.site import build_lock;"
        f" build_lock.BEAT_S = 0.01; build_lock.hold(Path({str(tmp_path)!r}));"
        f" facts = Path({str(facts)!r}); import os; os.utime(facts, (0, 0));"
        " end = time.time() + 30\n"
        "while facts.stat().st_mtime == 0 and time.time() < end: time.sleep(0.01)\n"
        "sys.exit(facts.stat().st_mtime == 0)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
    assert not facts.exists()
