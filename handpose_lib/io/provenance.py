"""The code on which a result depends, and a digest that changes when that code does.

`closure` follows import statements from a script, a notebook or a module to every file of
`handpose_lib` that it imports, directly or through others. `digest` computes one digest of files
that ignores comments, docstrings, layout and the outputs of notebooks. The pipeline executes a
chapter again when its digest changes, and every record of a run holds one.

Nothing is imported or executed here: the files are only parsed.
"""

import ast
import hashlib
import itertools
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from handpose_lib.errors import DataError, HandPoseError

PACKAGE = __name__.partition(".")[0]
"""The name of the library, 'handpose_lib'."""
RENDERING = (f"{PACKAGE}.synth",)
"""Packages on which a training does not depend if its frames are read from files."""
ROOT = Path(__file__).resolve().parents[1]
"""The folder of the library."""


def closure(roots: str | Path | Iterable[str | Path], without: Iterable[str] = ()) -> list[Path]:
    """Return every file of the library that `roots` import, directly or through others, sorted.

    A root is the path of a `.py` or `.ipynb` file, or the dotted name of a module of the library
    (`'handpose_lib.papers'`). Roots inside the library belong to their own closure. A package that
    imports its members lazily (its `__init__` has `import_module` or a module-level
    `__getattr__`) counts with everything in its folder, since no import statement tells which
    member will be used. Packages of the library named in `without` are left out, with everything
    that only they import: a training on stored frames does not depend on the code that renders.
    Errors: `HandPoseError` for a module that does not exist, `DataError` for
    files that cannot be parsed.
    """
    roots = [roots] if isinstance(roots, (str, Path)) else list(roots)
    found: set[Path] = set()
    queue: list[Path] = []
    left_out = [path.parent for name in without if (path := _module_path(name)) is not None]
    for root in roots:
        if isinstance(root, str) and _is_module_name(root):
            queue += _files_of(root)
        else:
            queue.append(Path(root).resolve())
    while queue:
        path = queue.pop()
        if path in found or any(path.is_relative_to(folder) for folder in left_out):
            continue
        found.add(path)
        queue += imported(path)
    return sorted(path for path in found if path.is_relative_to(ROOT))


def imported(path: Path) -> frozenset[Path]:
    """Return the files of the library that the import statements of one file name.

    Import statements inside functions count.
    """
    return _imported(path, _state(path))


@cache
def _imported(path: Path, state: tuple) -> frozenset[Path]:
    files = set()
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                files.update(_files_of(alias.name))
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node, path)
            files.update(_files_of(module))
            for alias in node.names:  # `from package import member`: the member may be a module
                files.update(_files_of(f"{module}.{alias.name}"))
    return frozenset(files)


def digest(files: str | Path | Iterable[str | Path]) -> str:
    """Return the SHA-256 of the syntax trees of `files`, without docstrings.

    Type annotations of functions and of local variables do not count, nor does the order of
    neighbouring import statements: they do not affect results. The order of the files does not
    matter, and neither does the folder of the project.
    """
    files = [files] if isinstance(files, (str, Path)) else files
    lines = {f"{_label(path)} {_tree_digest(path, _state(path))}" for path in map(Path, files)}
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def parse(path: str | Path) -> ast.Module:
    """Return the syntax tree of a Python file, or of all code cells of a notebook together.

    Errors: `DataError` for files that cannot be read or parsed.
    """
    path = Path(path)
    try:
        source = path.read_text(encoding="utf-8")
        if path.suffix == ".ipynb":
            source = "\n".join(code_cells(json.loads(source)))
        return ast.parse(source, filename=str(path))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except (SyntaxError, ValueError, KeyError) as error:
        raise DataError(
            f"{path} is not a Python file or a notebook of Python cells: {error}"
        ) from error


def code_cells(notebook: dict) -> list[str]:
    """Return the source of each code cell; lines of IPython (`%magic`, `!command`) become empty."""
    sources = ("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    return [
        "\n".join("" if line.startswith(("%", "!")) else line for line in source.split("\n"))
        for source in sources
    ]


def _is_module_name(root: str) -> bool:
    if not (root == PACKAGE or root.startswith(PACKAGE + ".")):
        return False
    if not _files_of(root) or _module_path(root) is None:
        raise HandPoseError(f"unknown module {root!r}: accepted are the modules of {PACKAGE}")
    return True


def _files_of(module: str) -> list[Path]:
    """Return the files that importing `module` executes: its own and those of its packages."""
    parts = module.split(".")
    if parts[0] != PACKAGE:
        return []
    names = [".".join(parts[:n]) for n in range(1, len(parts) + 1)]
    files = []
    for name in names:
        path = _module_path(name)
        if path is None:  # a function or class, not a module
            break
        files += sorted(path.parent.rglob("*.py")) if name == module and _is_lazy(path) else [path]
    return files


def _module_path(module: str) -> Path | None:
    stem = ROOT.joinpath(*module.split(".")[1:])
    return next(
        (path for path in (stem / "__init__.py", stem.with_suffix(".py")) if path.is_file()), None
    )


def _is_lazy(path: Path) -> bool:
    """Return whether this sub-package imports its members at run time.

    The library's own `__init__` is exempt: import statements name its members.
    """
    if path.name != "__init__.py" or path.parent == ROOT:
        return False
    tree = parse(path)
    names = {
        node.attr if isinstance(node, ast.Attribute) else node.id
        for node in ast.walk(tree)
        if isinstance(node, (ast.Attribute, ast.Name))
    }
    defines = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    return "import_module" in names or "__getattr__" in defines


def _absolute(node: ast.ImportFrom, path: Path) -> str:
    """Return the dotted name after `from`, with leading dots resolved relative to the file."""
    # Relative imports of a script never lead into the library.
    if not node.level or not path.is_relative_to(ROOT):
        return node.module or ""
    package = [PACKAGE, *path.relative_to(ROOT).parts[:-1]]
    base = package[: len(package) - node.level + 1]
    return ".".join(base + ([node.module] if node.module else []))


def _state(path: Path) -> tuple[int, int]:
    """Return time and size of a file: a cached result is valid while they are unchanged."""
    try:
        stat = path.stat()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return stat.st_mtime_ns, stat.st_size


@cache
def _tree_digest(path: Path, state: tuple) -> str:
    return hashlib.sha256(_canonical(_Essence().visit(parse(path))).encode()).hexdigest()


class _Essence(ast.NodeTransformer):
    """Removes docstrings, annotations and the order of imports from a syntax tree."""

    inside_function = False

    def visit_Module(self, node: ast.Module) -> ast.AST:
        return self._without_docstring(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        # Annotations in the body of a class count: they are the fields of dataclasses.
        outside, self.inside_function = self.inside_function, False
        result = self._without_docstring(node)
        self.inside_function = outside
        return result

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        outside, self.inside_function = self.inside_function, True
        node.returns = None
        result = self._without_docstring(node)
        self.inside_function = outside
        return result

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        self.generic_visit(node)
        if not self.inside_function or node.value is None:
            return None if self.inside_function else node
        return ast.Assign(targets=[node.target], value=node.value)

    def _without_docstring(
        self, node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    ) -> ast.AST:
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        self.generic_visit(node)
        node.body = _imports_sorted(node.body)
        return node


def _imports_sorted(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return the statements, with neighbouring imports in alphabetical order."""
    result: list[ast.stmt] = []
    for imports, run in itertools.groupby(
        body, lambda node: isinstance(node, ast.Import | ast.ImportFrom)
    ):
        statements = list(run)
        result += sorted(statements, key=_canonical) if imports else statements
    return result


def _canonical(node: object) -> str:
    """Return a syntax tree as text.

    `ast.dump` would write empty fields, which differ between versions of Python.
    """
    if isinstance(node, list):
        return "[" + ",".join(map(_canonical, node)) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = (
        (name, value) for name, value in ast.iter_fields(node) if value is not None and value != []
    )
    inside = ",".join(f"{name}={_canonical(value)}" for name, value in fields)
    return f"{type(node).__name__}({inside})"


def _label(path: Path) -> str:
    """Return a file's name in the digest, relative to the project, whose folder may differ."""
    path, project = path.resolve(), ROOT.parent
    return path.relative_to(project).as_posix() if path.is_relative_to(project) else path.name
