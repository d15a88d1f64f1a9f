"""The tables of differences: every setting of every recipe has a row, and each row its source."""

from dataclasses import fields
from math import pi

import pytest

from handpose_lib import papers
from handpose_lib.errors import DataError
from handpose_lib.papers.method import PROFILES, Recipe
from handpose_lib.results import settings, tables

PAPERS = pytest.mark.parametrize("paper", papers.names())


def rows(paper):
    return tables.load(paper)["settings"]


@pytest.fixture
def changed(monkeypatch):
    """Return a function that lets a paper's file say something else."""

    def change(paper, **entries):
        file = {**tables.load(paper), **entries}
        monkeypatch.setattr(tables, "load", lambda name: file)

    return change


# --- The papers' files --------------------------------------------------------


@PAPERS
def test_every_setting_of_every_recipe_has_a_row_or_says_nothing_about_the_paper(paper):
    assert settings.missing(paper) == []


@PAPERS
def test_every_row_is_about_a_setting_that_exists(paper):
    for row in rows(paper):
        if row["setting"] is not None:
            for profile in ("paper", "laptop"):
                settings.value(paper, row["setting"], papers.datasets(paper)[0], profile)


@PAPERS
def test_every_row_has_a_name_and_says_where_it_is_from(paper):
    for row in rows(paper):
        assert row["name"]
        assert row.get("text") or row.get("code") or row.get("why"), row["name"]
        assert set(row) <= {"setting", "name", "text", "code", "why", "here"}, row["name"]


@PAPERS
def test_what_this_book_does_is_typed_only_where_no_recipe_says_it(paper):
    for row in rows(paper):
        assert ("here" in row) == (row["setting"] is None), row["name"]


@PAPERS
def test_no_setting_and_no_name_has_two_rows(paper):
    known = [row["setting"] for row in rows(paper) if row["setting"] is not None]
    names = [row["name"] for row in rows(paper)]
    defaults = tables.load(paper)["defaults"]
    assert len(known) == len(set(known))
    assert len(names) == len(set(names))
    assert not set(known) & set(defaults), "a row, or nothing to say"


@PAPERS
def test_what_the_text_states_has_its_place(paper):
    places = ("Section", "Eq.", "Table", "Fig.", "Algorithm", "Abstract", "Conclusion")
    for row in rows(paper):
        if "text" in row:
            assert any(place in row["text"] for place in places), row["name"]


@PAPERS
def test_the_table_shows_every_row_with_the_values_of_both_profiles(paper):
    table = settings.differences(paper)
    assert [row[0] for row in table.rows] == [row["name"] for row in rows(paper)]
    assert all(len(row) == len(table.head) for row in table.rows)
    (batch,) = (row for row, entry in zip(table.rows, rows(paper)) if entry["setting"] == "batch")
    for column, dataset in (("paper", "nyu"), ("laptop", "synthetic")):
        value = settings.value(paper, "batch", dataset, column)
        assert str(value) in batch[table.head.index(f"profile {column}")]


def test_a_paper_without_released_code_has_no_column_for_it():
    for paper in papers.names():
        released = any("code" in row for row in rows(paper))
        assert ("released code" in settings.differences(paper).head) == released


# --- What breaks --------------------------------------------------------------


@PAPERS
def test_a_setting_without_its_row_is_missing(paper, changed):
    needed = settings._settings(paper)
    removed = next(row for row in rows(paper) if row["setting"] in needed)
    changed(paper, settings=[row for row in rows(paper) if row != removed])
    assert settings.missing(paper) == [removed["setting"]]
    changed(paper, settings=[], defaults=[])
    assert settings.missing(paper) == sorted(needed)


@PAPERS
@pytest.mark.parametrize(
    "setting", ["colour", "augmentation.colour", "network.colour", "network", "profile", ""]
)
def test_a_row_about_an_unknown_setting_is_an_error(paper, setting, changed):
    changed(paper, settings=[{"setting": setting, "name": "colour", "why": "ours"}])
    with pytest.raises(DataError, match="accepted are"):
        settings.differences(paper)


@PAPERS
def test_every_field_of_a_recipe_is_asked_for(paper):
    asked = settings._settings(paper)
    assert {field.name for field in fields(Recipe)} - asked == set(settings.LEFT_OUT)
    for profile in PROFILES:
        for dataset in papers.datasets(paper):
            recipe = papers.recipe(paper, dataset, profile, "paper")
            assert {f"augmentation.{name}" for name in recipe.augmentation} <= asked
            assert {f"network.{name}" for name in recipe.network} <= asked


# --- Values as a reader sees them ---------------------------------------------


@pytest.mark.parametrize(
    "value, setting, text",
    [
        (None, "average", "—"),
        (True, "ensemble", "yes"),
        (1e-4, "lr", "10⁻⁴"),
        (2.5e-4, "lr", "2.5 · 10⁻⁴"),
        (0.002, "lr", "0.002"),
        (0.0, "weight_decay", "0"),
        (250.0, "cube_test", "250"),
        ((250.0, 260.0), "cube_train", "250, 260"),
        ((), "drops", "—"),
        ((0.9, 1.1), "augmentation.scale", "0.9 to 1.1"),
        ((1.0, 1.0), "augmentation.scale", "1"),
        ((-pi, pi), "augmentation.rotation", "−180° to 180°"),
        ((0.0, 0.0), "augmentation.rotation", "0°"),
        ({"scale": 0.05}, "augmentation.deviations", "scale 0.05"),
    ],
)
def test_a_value_is_written_as_a_reader_expects_it(value, setting, text):
    assert settings.written(value, setting) == text


def test_a_setting_that_the_schedule_does_not_use_has_no_value():
    assert settings.value("densereg", "every", "nyu", "paper") == 10
    assert settings.value("densereg", "every", "synthetic", "laptop") is None
    assert settings.value("residual_attention", "drops", "nyu", "paper") == (30,)


def test_a_keyword_that_a_recipe_leaves_out_has_the_value_of_the_augmentation():
    assert settings.value("densereg", "augmentation.zoom", "nyu", "paper") == (1.0, 1.0)


# --- Parts of the table -------------------------------------------------------


@PAPERS
def test_the_recipe_and_the_rest_are_the_whole_table(paper):
    """A page that shows both shows every row once."""
    whole, recipe = settings.differences(paper), settings.recipe(paper)
    rest = settings.differences(paper, recipe=False)
    assert recipe.head == rest.head == whole.head
    assert sorted(recipe.rows + rest.rows) == sorted(whole.rows)
    names = " ".join(row[0] for row in recipe.rows)
    for word in ("optimiser", "rate", "schedule", "batch", "epochs", "rotation", "cube"):
        assert word in names
