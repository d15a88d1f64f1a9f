"""The facts of the data sets agree with the readers, the bibliography and each other."""

import re

import pytest

from data_scripts import formats
from handpose_lib import dataset_specs, datasets, paths, skeleton, synth
from handpose_lib.datasets import msra
from handpose_lib.errors import HandPoseError

BIBLIOGRAPHY = (paths.project() / "book" / "references.bib").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", dataset_specs.SPECS)
def test_a_spec_is_complete(name):
    spec = dataset_specs.get(name)
    assert spec.name == name and spec.views >= 1
    assert all((spec.title, spec.labels, spec.files, spec.licence, spec.access))
    cited = f"{{{spec.reference}," in BIBLIOGRAPHY
    assert cited or spec.reference.startswith("https://")
    if name in dataset_specs.LABELLED:
        assert spec.stated and spec.counts and spec.skeleton in skeleton.SKELETONS
    assert spec.body == (not skeleton.get(spec.skeleton or "msra21").fingers)


def test_every_set_has_what_a_set_needs():
    """A reader; and with labels a writer, a script that says how to obtain it, and a test."""
    assert set(datasets.DATASETS) == set(dataset_specs.SPECS)
    assert set(formats.names()) == set(dataset_specs.LABELLED)
    for name in dataset_specs.LABELLED:
        assert (paths.project() / "data_scripts" / f"{name}.py").is_file()
        tests = "datasets" if name == "msra" else name
        assert (paths.project() / "tests" / "datasets" / f"test_{tests}.py").is_file()


def test_hands_are_rendered_and_bodies_are_not():
    hands = {name for name, spec in dataset_specs.SPECS.items() if not spec.body}
    assert set(synth.SETUPS) == hands
    for name in hands & set(dataset_specs.LABELLED):
        spec, setup = dataset_specs.get(name), synth.SETUPS[name]
        assert (setup.camera, setup.skeleton) == (spec.camera, spec.skeleton)


def test_an_unknown_set_is_named():
    with pytest.raises(HandPoseError, match="unknown data set 'kinect': accepted are msra, nyu"):
        dataset_specs.get("kinect")
    with pytest.raises(HandPoseError, match="unknown camera 'kinect'"):
        dataset_specs.preset("kinect")


def test_the_releases_of_msra_have_as_many_frames_as_their_subjects_together():
    counts = tuple(dataset_specs.get("msra").counts.values())
    assert counts == tuple(sum(release) for release in msra.RELEASES.values())
    assert all(re.search(f"{count:,}", name) for count, name in zip(counts, msra.RELEASES))
