"""Parameters: what means the same is read alike, everything else is refused before any work."""

import ast
import math
from dataclasses import replace
from pathlib import Path

import matplotlib
import nbformat
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handpose_lib import parameters, paths, runs
from handpose_lib.errors import HandPoseError
from handpose_lib.parameters import Choice, Flag, Number, Numbers, Place, Text, Whole

TAGGED = "parameters"


def refused(value, kind):
    """Return the message that refuses a value, which is one line and names what matters."""
    with pytest.raises(HandPoseError) as caught:
        parameters.check({"name": value}, {"name": kind})
    message = str(caught.value)
    assert message.startswith("parameter name: given ") and "; accepted is " in message
    assert "\n" not in message and message.rpartition(": ")[2]
    return message


def read(value, kind):
    return parameters.check({"name": value}, {"name": kind})["name"]


# --- kinds ------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(-(2**70), 2**70))
def test_a_whole_number_is_the_same_in_every_notation(number):
    for given_as in (number, str(number), f" {number} ", f"'{number}'", np.int64(number % 2**63)):
        expected = number % 2**63 if isinstance(given_as, np.integer) else number
        found = read(given_as, Whole())
        assert (type(found), found) == (int, expected)


@settings(deadline=None)
@given(st.floats(-1e300, 1e300))
def test_a_number_is_the_same_in_every_notation(number):
    for given_as in (number, str(number), f'"{number}"', np.float64(number)):
        found = read(given_as, Number())
        assert (type(found), found) == (float, number)


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_limits_belong_to_the_range(low, width):
    high = low + width
    for kind in (Number(low, high), Numbers(("u", "v"), low, high)):
        both = kind if isinstance(kind, Number) else None
        for number in (low, high):
            given_as = number if both else (number, number)
            assert read(given_as, kind) == given_as
        for number, word in ((low - 1, "at least"), (high + 1, "at most")):
            assert word in refused(number if both else (low, number), kind)


@pytest.mark.parametrize(
    "value, kind, advice",
    [
        ("0,125", Number(), "write 0.125, with a decimal point"),
        ("-3,5", Number(), "write -3.5, with a decimal point"),
        ("1,000", Whole(), "write digits alone"),
        ("0.125 mm", Number(unit="mm"), "write the number without a unit: it is in mm"),
        ("2cm", Number(), "write the number without a unit"),
        (1.5, Whole(), "write 1 or 2"),
        ("1.5", Whole(), "write 1 or 2"),
        ("abc", Whole(), "write a number"),
        ("abc", Number(), "write a number"),
        (math.nan, Whole(), "write a finite number"),
        ("nan", Number(), "write a finite number"),
        (-math.inf, Number(), "write a finite number"),
        (10**400, Number(), "write a number"),
        ("9" * 5000, Whole(), "write a finite number"),
        (True, Whole(), "write one number"),
        (False, Number(0), "write one number"),
        ([1], Whole(), "write one number"),
        (1j, Number(), "write one number"),
        ("", Whole(), "leave the parameter out"),
        (None, Number(), "leave the parameter out"),
        ("", Choice(("a",)), "leave the parameter out"),
        ("laptp", Choice(("smoke", "laptop")), "did you mean laptop?"),
        (4, Choice((1, 2, 3)), "write one of them"),
        (True, Choice((1, 2)), "write one of them"),
        (None, Choice(("half", "none")), "leave the parameter out"),
        ("maybe", Flag(), "write True or False"),
        (1, Flag(), "write True or False"),
        ("", Text(), "leave the parameter out"),
        (5, Text(), "write it between quotes"),
        ((1, 2, 3), Numbers(("u", "v")), "write 2 numbers: 3 were given"),
        (7, Numbers(("u", "v")), "write 2 numbers: one was given"),
        ("1,5 2,5", Numbers(("u", "v")), "write 2 numbers: 4 were given"),
        ((1, math.nan), Numbers(("u", "v")), "write a finite number"),
        (5, Place(), "write a path between quotes"),
        ("", Place(), "leave the parameter out"),
        ("nul\0", Place(), "write a path as text"),
        ("x" * 5000, Place(), "check the path"),
    ],
)
def test_each_refusal_says_what_to_do(value, kind, advice):
    assert advice in refused(value, kind).rpartition("; accepted is ")[2]


@pytest.mark.parametrize(
    "value, kind, expected",
    [
        (3.0, Whole(), 3),
        ("3.0", Whole(), 3),
        ("1e3", Whole(), 1000),
        ("None", Whole(none="as it is"), None),
        (" none ", Place(none="as it is"), None),
        (None, Number(none="as it is"), None),
        ("none", Choice(("half", "none")), "none"),
        ("Laptop", Choice(("laptop",)), "laptop"),
        ("on-the-fly", Choice(("on_the_fly",)), "on_the_fly"),
        ("'right'", Choice(("left", "right")), "right"),
        ("2", Choice((1, 2)), 2),
        (2.0, Choice((1, 2)), 2),
        ("true", Flag(), True),
        (False, Flag(), False),
        ("320 240.5", Numbers(("u", "v")), (320.0, 240.5)),
        ("(320, 240)", Numbers(("u", "v")), (320.0, 240.0)),
        ([320, "240"], Numbers(("u", "v")), (320.0, 240.0)),
        ("", Place(none="the book's", empty_is_none=True), None),
    ],
)
def test_what_means_the_same_is_read_alike(value, kind, expected):
    found = read(value, kind)
    assert (type(found), found) == (type(expected), expected)


def test_paths_are_the_same_in_every_notation(tmp_path, monkeypatch):
    """As they are, with a tilde, a variable, quotes, and relative to either folder."""
    here, file = tmp_path / "home" / "my images", tmp_path / "home" / "my images" / "a.png"
    here.mkdir(parents=True)
    file.touch()
    elsewhere = tmp_path / "notebooks"
    elsewhere.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("IMAGES", str(here))
    monkeypatch.chdir(here)
    for text in (str(file), "~/my images/a.png", "$IMAGES/a.png", f'"{file}"', f" '{file}' "):
        assert read(text, Place("file")) == file
    assert read("a.png", Place("file")) == read(Path("a.png"), Place("file or folder")) == file
    monkeypatch.chdir(elsewhere)  # as a kernel does, while the command was given in `here`
    monkeypatch.setenv("PWD", str(here))
    assert read("a.png", Place("file")) == file
    assert read("new", Place("new folder")) == elsewhere / "new"
    assert f"nothing at {elsewhere / 'b.png'} or {here / 'b.png'}" in refused("b.png", Place())
    assert "is a folder: add the name of the file" in refused(here, Place("file"))
    for kind in ("folder", "new folder"):
        assert "is a file: give the folder that holds it" in refused(file, Place(kind))
        assert read(here, Place(kind)) == here


@settings(deadline=None)
@given(st.text(max_size=200) | st.integers() | st.floats() | st.lists(st.integers(), max_size=3))
def test_every_value_is_read_or_refused_in_one_line(value):
    for kind in (Whole(0, 9), Number(0, 9), Numbers(("u",)), Flag(), Choice(("a", 1)), Text()):
        try:
            read(value, kind)
        except HandPoseError:
            refused(value, kind)


def test_all_that_is_wrong_is_reported_at_once():
    accepted = {"a": Whole(1), "b": Number(0), "c": Flag()}
    with pytest.raises(HandPoseError) as caught:
        parameters.check({"a": 0, "c": False}, accepted)
    first, second = str(caught.value).splitlines()
    assert first.startswith("parameter a: given 0") and second.startswith("parameter b is missing")


# --- names ------------------------------------------------------------------------

CELL = "seed = 0\nfx, fy = 1.0, 2.0\nname: str = 'a'\n"
ACCEPTED = {"seed": Whole(), "fx": Number(), "fy": Number(), "name": Text()}


def namespace(*cells):
    """Return what a kernel's `globals()` is after these cells."""
    space: dict = {}
    for cell in cells:
        exec(cell, space)
    return {**space, "In": ["", *cells, "parameters.of_notebook(globals(), ACCEPTED)"]}


def test_names_that_the_notebook_does_not_have_are_refused():
    fine = ["import math\nother = 5", CELL, "# Parameters\nseed = 3"]
    assert parameters.of_notebook(namespace(*fine), ACCEPTED)["seed"] == 3
    for cells in ([CELL, "# Parameters\nsede = 3"], [CELL + "sede = 3"]):
        with pytest.raises(HandPoseError, match=r"parameter sede: there is none.*mean seed\?"):
            parameters.of_notebook(namespace(*cells), ACCEPTED)
    with pytest.raises(HandPoseError, match=r"parameter zoom.*leave it out\nparameter seed: given"):
        parameters.of_notebook(namespace(CELL, "# Parameters\nzoom = 1\nseed = 'x'"), ACCEPTED)


def test_a_corrected_cell_takes_the_place_of_the_wrong_one():
    cells = [CELL + "sede = 3", "later = 1", CELL]
    assert parameters.of_notebook(namespace(*cells), ACCEPTED)["seed"] == 0
    cells = ["%matplotlib inline", CELL]  # is not Python
    space = {**namespace(CELL), "In": cells}
    assert parameters.of_notebook(space, ACCEPTED)["name"] == "a"


# --- notebooks ----------------------------------------------------------------------


def source(cell):
    return cell.source if cell.cell_type == "code" else ""


def notebooks():
    """Return path → code cells of every notebook with a cell of parameters."""
    found = {}
    for path in sorted((paths.project() / "book").rglob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        if any(TAGGED in cell.metadata.get("tags", []) for cell in cells):
            found[path] = [cell for cell in cells if cell.cell_type == "code"]
    return found


NOTEBOOKS = notebooks()


def checking(cells):
    """Return the places of the cell of parameters and of the cell that checks them."""
    tagged = [i for i, cell in enumerate(cells) if TAGGED in cell.metadata.get("tags", [])]
    checks = [i for i, cell in enumerate(cells) if "parameters.of_notebook(" in source(cell)]
    assert len(tagged) == 1 and len(checks) == 1, "one cell of parameters, and one that checks them"
    return tagged[0], checks[0]


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def opened(request):
    """A notebook up to its parameters: namespace, the checking cell, and what it accepts."""
    cells = NOTEBOOKS[request.param]
    tagged, place = checking(cells)
    space: dict = {}
    with matplotlib.rc_context():
        exec(next(cell.source for cell in cells if cell.id == "imports"), space)
        exec(source(cells[tagged]), space)
        found, check = {}, parameters.of_notebook

        def remembering(given, accepted):
            found.update(accepted)
            return check(given, accepted)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parameters, "of_notebook", remembering)
            exec(check_alone(source(cells[place])), dict(space))
    return space, check_alone(source(cells[place])), found, source(cells[tagged])


def check_alone(code: str) -> str:
    """Return the statements of a cell up to the one that checks the parameters."""
    body = ast.parse(code).body
    last = next(i for i, node in enumerate(body) if "parameters.of_notebook(" in ast.unparse(node))
    return ast.unparse(ast.Module(body[: last + 1], []))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_parameters_are_checked_before_anything_else(path):
    tagged, place = checking(NOTEBOOKS[path])
    assert place == tagged + 1, "the next cell of code"


def test_every_parameter_is_checked_and_its_default_is_accepted(opened):
    _, _, accepted, cell = opened
    body = ast.parse(cell).body
    names = {
        node.id
        for statement in body
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    assert names == set(accepted)


def wrong_values(kind):
    """Yield values that a kind must refuse: by type, below, above, not a number, None, empty."""
    yield from (object(), [[]], {"a": 1}, b"\xff", math.nan, math.inf)
    if not isinstance(kind, Text):
        yield "no such value"
    if not isinstance(kind, Flag):
        yield True
    low, high = getattr(kind, "low", None), getattr(kind, "high", None)
    count = len(kind.names) if isinstance(kind, Numbers) else 0
    for wrong in (
        *([] if low is None else [low - 1]),
        *([] if high is None else [high * 2 + 1]),
    ):
        yield [wrong] * count if count else wrong
    if isinstance(kind, Whole):
        yield from (0.5, "0.5", "1,5")
    if isinstance(kind, Number | Whole):
        yield from ("0,125", "3 apples")
    if kind.none is None:
        yield None
    if not (isinstance(kind, Place) and kind.empty_is_none):
        yield from ("", "  ", "''")


def test_every_wrong_value_is_refused_by_name(opened):
    space, check, accepted, _ = opened
    for name, kind in accepted.items():
        if isinstance(kind, Place) and kind.kind == "new folder":
            values = [value for value in wrong_values(kind) if value != "no such value"]
        else:
            values = list(wrong_values(kind))
        for value in values:
            with pytest.raises(HandPoseError, match=f"^parameter {name}: given ") as caught:
                exec(check, {**space, name: value})
            assert "\n" not in str(caught.value), value


def test_a_name_that_papermill_does_not_know_is_refused(opened):
    space, check, accepted, cell = opened
    name = f"{next(iter(accepted))}s_"
    for cells in ([cell, f"# Parameters\n{name} = 1"], [f"{cell}\n{name} = 1"]):
        with pytest.raises(HandPoseError, match=f"parameter {name}: there is none of this name"):
            exec(check, {**space, "In": cells})


# --- runs -----------------------------------------------------------------------------

RUN = runs.Run("jgr_p2o")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"epochs": 0}, "parameter epochs: given 0"),
        ({"epochs": -1}, "parameter epochs: given -1"),
        ({"epochs": 1.5}, "parameter epochs: given 1.5"),
        ({"seed": "abc"}, "parameter seed: given 'abc'"),
        ({"seed": -1}, "parameter seed: given -1"),
        ({"variant": "p20"}, r"parameter variant: .*did you mean p2o\?"),
        ({"device": "cuda:99"}, "parameter device: .*this machine has auto, cpu"),
        ({"device": "meta"}, "parameter device: "),
        ({"view": 2}, "parameter view: given 2; accepted with dataset synthetic is None"),
        ({"dataset": "nyu", "view": "top"}, "with dataset nyu is 1, 2, 3 or None"),
        ({"dataset": "nyu", "subject": 3}, "parameter subject: given 3"),
        ({"dataset": "nyu", "split_by": "subject"}, "parameter split_by"),
        ({"dataset": "itop", "frames": "on_the_fly"}, "parameter frames"),
        ({"dataset": "dexycb", "centres": "."}, "parameter centres"),
        ({"view": 1, "frames": "rendered", "epochs": "x"}, "epochs.*\nparameter frames"),
    ],
)
def test_a_run_refuses_what_does_not_fit(change, message):
    with pytest.raises(HandPoseError, match=message):
        replace(RUN, **change)


def test_a_run_keeps_its_settings_in_one_form(tmp_path):
    given = {"epochs": "3", "seed": 2.0, "profile": "Laptop", "subject": "3", "out": str(tmp_path)}
    expected = {"epochs": 3, "seed": 2, "profile": "laptop", "subject": 3, "out": tmp_path}
    run = replace(RUN, **given)
    assert {name: getattr(run, name) for name in given} == expected
    assert run.recipe.epochs == 3 and replace(RUN, epochs=None).recipe == RUN.recipe


def test_views_are_those_of_the_sets_with_several():
    assert set(runs.VIEWS) == set(runs.splits.VIEWED)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(sorted(runs.VIEWS)), st.sampled_from([1, 2, 3, 8, "front", "top"]))
def test_a_view_is_accepted_where_its_set_has_it(name, view):
    if name not in runs.papers.datasets("v2v_posenet"):
        return
    change = {"paper": "v2v_posenet", "dataset": name, "view": view}
    if view in runs.VIEWS[name]:
        assert replace(RUN, **change).view == view
    else:
        with pytest.raises(HandPoseError, match="parameter view"):
            replace(RUN, **change)
