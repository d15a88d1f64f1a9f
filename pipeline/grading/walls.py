"""The walls around code from students: namespaces of Linux, which `bubblewrap` builds.

A program behind these walls sees its interpreter, the installed packages and the library, all
read-only, and one small folder in memory to write in. The chapters with their solutions, the
checks, every submission and every result do not exist there. There is no network, no other process
to see or to signal, and everything that was started ends with the grader.

    walls = found()                                   # errors: `HandPoseError` that says what to do
    process = subprocess.Popen(walls.command([...]), **walls.options)
"""

import os
import shutil
import site
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch

from handpose_lib import errors, paths

SCRATCH = "/scratch"
"""The folder behind the walls that can be written to."""
SCRATCH_BYTES = 64 * 2**20
"""Its size; what is in it lies in memory."""
NOBODY = 65534
"""The user and group as whom an administrator's grader runs the code of students."""

TRUST = (
    "For submissions of people whom you trust, `make grade TRUST=1 ...` (or --trust) grades without"
    " these walls: an answer can then read the solutions and change files and grades"
)
HELP = {
    "system": (
        "the walls around the code of students need Linux, this is {system}. Use the container"
        " image (Dockerfile; SECURITY.md shows the command)."
    ),
    "missing": (
        "the code of students is run behind the walls of bubblewrap, and the program bwrap is not"
        " installed. Install it: apt-get install bubblewrap (Debian, Ubuntu), dnf install"
        " bubblewrap (Fedora), or use the container image (Dockerfile; SECURITY.md shows the"
        " command)."
    ),
    "old": (
        "bubblewrap is too old ({said}): accepted is version 0.8 or newer, which can limit the"
        " size of a folder. Use a newer system or the container image (Dockerfile; SECURITY.md"
        " shows the command)."
    ),
    "forbidden": (
        "bubblewrap is installed but may not build walls here: {said}. The system forbids"
        " unprivileged user namespaces. On Ubuntu: sysctl -w"
        " kernel.apparmor_restrict_unprivileged_userns=0; on older systems: sysctl -w"
        " user.max_user_namespaces=10000; or use the container image, with the options that"
        " SECURITY.md shows."
    ),
}


@dataclass(frozen=True)
class Walls:
    """How programs are started behind walls.

    `options`: for `subprocess.Popen`; `hidden`: folders that must not be visible, wherever they lie
    """

    program: str
    options: dict[str, Any] = field(default_factory=dict)
    hidden: Sequence[str] = ()

    def command(self, inside: Sequence[str], library: bool = True) -> list[str]:
        """Return the command line that runs the command `inside` behind the walls.

        `library`: whether the installed packages and the library are visible, besides Python.
        """
        covered = _visible([*_solutions(), *self.hidden])
        limits = [
            "--unshare-user",
            "--unshare-all",
            "--disable-userns",
            "--die-with-parent",
            "--new-session",
        ]
        nobody = ["--uid", str(NOBODY), "--gid", str(NOBODY), "--cap-drop", "ALL"]
        # What there is in memory: devices, and a folder of limited size.
        fresh = ["--dev", "/dev", "--remount-ro", "/dev", "--proc", "/proc"]
        fresh += ["--size", str(SCRATCH_BYTES), "--tmpfs", SCRATCH]
        return [
            self.program,
            *limits,
            *nobody,
            "--clearenv",
            *_system(),
            *(_packages() if library else ()),
            *(option for folder in covered for option in _cover(folder)),
            *(_code() if library else ()),
            *(option for folder in covered for option in ("--remount-ro", folder)),
            *fresh,
            "--remount-ro",
            "/",
            *("--chdir", SCRATCH),
            *_environment(),
            "--",
            *inside,
        ]


def found(hidden: Iterable[str] = ()) -> Walls:
    """Return the walls of this computer. Errors: `HandPoseError` that says what is missing.

    `hidden`: folders of submissions and results.
    """
    if sys.platform != "linux":
        raise errors.HandPoseError(f"{HELP['system'].format(system=sys.platform)} {TRUST}")
    program, options, problem, said = _probed(os.environ.get("PATH", ""))
    if problem:
        raise errors.HandPoseError(f"{HELP[problem].format(said=said)} {TRUST}")
    return Walls(program, options, tuple(hidden))


@cache
def _probed(path: str) -> tuple[str, dict[str, Any], str, str]:
    """Return (program, options, key of `HELP` or '', what bubblewrap said)."""
    program = shutil.which("bwrap", path=path)
    if program is None:
        return "", {}, "missing", ""
    said = ""
    # An administrator's processes are not counted by the limit on their number: another user's are.
    nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    for options in [nobody, {}] if os.geteuid() == 0 else [{}]:
        walls = Walls(program, options)
        python = [sys.executable, "-I", "-S", "-c", "import json"]
        try:
            tried = subprocess.run(
                walls.command(python), capture_output=True, text=True, timeout=60, **options
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = said or str(error)
            continue
        if tried.returncode == 0:
            return program, options, "", ""
        said = said or (tried.stderr.strip().splitlines() or [f"status {tried.returncode}"])[-1]
        if "Unknown option" in tried.stderr:
            return program, {}, "old", said
    return program, {}, "forbidden", said


def _bound(folders: Iterable[Path | str]) -> Iterator[str]:
    """Yield the options that show folders read-only at their own places."""
    for path in dict.fromkeys(os.path.abspath(folder) for folder in folders):
        if os.path.exists(path) and path != "/":
            yield from ("--ro-bind", path, path)


def _system() -> list[str]:
    """Return the options for programs and libraries of the system, and for Python itself."""
    options: list[str] = []
    for path in ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"):
        if os.path.islink(path):
            options += ["--symlink", os.readlink(path), path]
        else:
            options += _bound([path])
    options += _bound(["/etc/ld.so.cache", "/nix/store"])
    python = [sys.base_prefix, sys.base_exec_prefix, Path(sys.executable).resolve().parents[1]]
    options += _bound(path for path in python if not Path(path).is_relative_to("/usr"))
    options += _bound(path for path in (sys.prefix, sys.exec_prefix) if path not in python)
    return options


def _packages() -> list[str]:
    """Return the options for the folders of installed packages, if they lie elsewhere."""
    packages = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    packages += [str(Path(torch.__file__).parents[1])]
    if site.ENABLE_USER_SITE:
        packages.append(site.getusersitepackages())
    shown = [Path(sys.prefix), Path(sys.base_prefix), Path("/usr")]
    return list(
        _bound(
            path for path in packages if not any(Path(path).is_relative_to(one) for one in shown)
        )
    )


def _solutions() -> list[str]:
    """Return the folders from which a solution could be read."""
    root = paths.checkout()
    return [str(root)] if root else [str(paths.code() / "handpose_lib"), str(paths.project())]


def _visible(folders: Iterable[str]) -> list[str]:
    """Return those of the folders that exist, each once."""
    there = dict.fromkeys(os.path.realpath(folder) for folder in folders)
    return [path for path in there if os.path.isdir(path) and path != "/"]


def _cover(folder: str) -> Iterator[str]:
    """Yield the options that put an empty folder over one that may be visible.

    A folder of Python that lies in it, such as `.venv` in the checkout, is shown again.
    """
    yield from ("--size", "65536", "--tmpfs", folder)
    python = [os.path.abspath(path) for path in (sys.prefix, sys.base_prefix)]
    yield from _bound(one for one in python if Path(one).is_relative_to(folder) and one != folder)


def _code() -> list[str]:
    """Return the options for the code that an answer needs: the library without its checks."""
    code, here = paths.code(), Path(__file__).parent
    options = [*_bound([code / "handpose_lib", code / "data_scripts"])]
    content = code / "handpose_lib" / "content"
    if content.is_dir():
        options += ["--size", "65536", "--tmpfs", str(content)]
    for path in (here.parent / "__init__.py", here / "__init__.py"):
        options += _bound([path])
    for name in ("guard", "wire", "worker"):
        options += _bound([here / f"{name}.py"])
    checks = code / "handpose_lib" / "teaching" / "checks"
    options += ["--size", "65536", "--tmpfs", str(checks), *_bound([checks / "__init__.py"])]
    for path in sorted(checks.glob("[!_]*.py")):
        options += ["--ro-bind", _stand_in(), str(path)]
    return [*options, "--remount-ro", str(checks)]


@cache
def _stand_in() -> str:
    """Return the path of a module that stands for the checks of a chapter, whose laws tell much."""
    folder = tempfile.TemporaryDirectory(prefix="handpose-stand-in-")
    _KEPT.append(folder)
    os.chmod(folder.name, 0o755)
    path = Path(folder.name) / "checks.py"
    path.write_text(
        '"""The checks of this chapter are not where answers are graded."""\n'
        "from handpose_lib.teaching.checks import check, names, progress, require\n",
        encoding="utf-8",
    )
    path.chmod(0o644)
    return str(path)


_KEPT: list[tempfile.TemporaryDirectory] = []


def _environment() -> Iterator[str]:
    """Yield the options for the variables of the environment; those of the grader are not seen."""
    variables = {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": SCRATCH,
        "TMPDIR": SCRATCH,
        "MPLCONFIGDIR": SCRATCH,
        "HANDPOSE_DATA": f"{SCRATCH}/data",
        "HANDPOSE_BUILD": f"{SCRATCH}/build",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    }
    for name, value in variables.items():
        yield from ("--setenv", name, value)
