"""The trained networks that come with the book are those that their records describe."""

import pytest

from handpose_lib import errors, papers, paths, synth
from handpose_lib.results import pretrained, records


def test_every_paper_has_one_and_they_are_small():
    assert pretrained.names() == papers.names()
    sizes = [
        (pretrained.load(name).record.folder / "weights.safetensors").stat().st_size
        for name in pretrained.names()
    ]
    assert sum(sizes) <= 25 * 2**20


@pytest.mark.parametrize("name", papers.names())
def test_it_is_the_best_and_answers_as_its_record_says(name):
    """On fresh frames of the person and the views on which its record was made, within what 64
    frames can tell.
    """
    trained = pretrained.load(name)
    network, record = trained
    rivals = [
        other
        for other in records.find(method=name, synthetic=True)
        if other["files"]["weights"] and other["profile"] != "paper"
    ]
    assert not network.training and record.error_mm == min(other.error_mm for other in rivals)
    frames = synth.frames(
        range(64),
        seed=31,
        setup="msra",
        distribution="wide_view",
        subjects=[record["protocol"]["subject"]],
    )
    found = trained.joints(frames.depth, frames.camera, frames.centre, frames.hands)
    assert found.shape == (64, 21, 3) and not found.requires_grad
    errors_mm = (found - frames.joints).norm(dim=-1).mean(1)
    assert (errors_mm.mean() - record.error_mm).abs() < 4 * errors_mm.std() / 8


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(errors.HandPoseError, match="unknown|accepted"):
        pretrained.load("deepprior")
    with pytest.raises(errors.HandPoseError, match="variant of jgr_p2o"):
        pretrained.load("jgr_p2o", "large")
    with pytest.raises(errors.HandPoseError, match="no weights of jgr_p2o are kept .* none at all"):
        pretrained.load("jgr_p2o", root=tmp_path)
    kept = {
        (r["method"], r["variant"])
        for r in records.load_all(paths.records())
        if r["files"]["weights"]
    }
    lost = next(v for v in papers.variants("jgr_p2o") if ("jgr_p2o", v) not in kept)
    with pytest.raises(
        errors.HandPoseError,
        match=rf"no weights of jgr_p2o \({lost}\) are kept .* jgr_p2o \(small\)",
    ):
        pretrained.load("jgr_p2o", lost)
