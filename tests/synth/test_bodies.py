"""ITOP's bodies pass through crops, voxels, training, scoring and records as hands do."""

from dataclasses import replace

import pytest
import torch

from handpose_lib import datasets, evaluation, papers, prepare, training
from handpose_lib.datasets import itop
from handpose_lib.datasets.base import SYNTHETIC
from handpose_lib.errors import HandPoseError
from handpose_lib.evaluation import metrics
from handpose_lib.prepare import voxels
from handpose_lib.results import records
from handpose_lib.synth.bodies import body

CUBE = 2000.0


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A synthetic set in ITOP's format: eight training frames of two persons, four test frames of a
    third.
    """
    root = tmp_path_factory.mktemp("itop")
    for part, persons, count in (("train", (4, 5), 8), ("test", (0,), 4)):
        shown = body.frames(range(count), seed=2, subjects=persons)
        names = [f"{person:02d}_{row:05d}" for row, person in enumerate(shown.persons.tolist())]
        with itop.Writer(root, "front", part, count) as writer:
            writer.add(
                0, names, shown.depth, shown.joints, shown.visible, shown.parts, shown.centre
            )
    (root / SYNTHETIC).write_text('{"synthetic": true}', encoding="utf-8")
    return root


def test_a_cube_of_two_metres_around_the_stored_centre_holds_a_body(root):
    """The paper's cube: the trunk is always in it, and where the camera sees a joint's surface, a
    voxel near it is filled.
    """
    train = datasets.open("itop", root)
    assert isinstance(train, itop.Itop)
    crops = training.Stored(train, (CUBE,), "stored").crops(range(len(train)))
    assert (
        crops.cube.tolist() == [CUBE] * 8
        and (crops.centre - train.joints().mean(1)).norm(dim=1).max() < 5 * 30
    )
    assert crops.joints is not None
    n = prepare.xyz_to_cube(crops.joints, crops)
    trunk = [
        number
        for part in ("neck", "torso", "shoulders", "hips")
        for number in metrics.BODY_PARTS[part]
    ]
    assert n[:, trunk].abs().max() < 1
    filled = voxels.occupancy(crops, 44)[:, 0]
    for row in range(len(train)):
        z, y, x = filled[row].nonzero().unbind(1)
        places = voxels.from_voxels(torch.stack((x, y, z), 1).float(), 44)
        seen = train.visible[row] & (n[row].abs() < 1).all(1)
        apart = torch.cdist(n[row, seen], places).amin(1) * CUBE / 2
        # The skin over the joint, and the diagonal of a voxel.
        assert apart.max() < body.SURFACE_MM + 75


def test_bodies_have_no_centre_of_mass(root):
    """`locate` looks for hands within 1.5 m: that is said, and another centre is asked for."""
    train = datasets.open("itop", root)
    with pytest.raises(HandPoseError, match="no hand in image.*1500 mm"):
        prepare.batch(train.frames(range(2)), CUBE)


def test_v2v_posenet_learns_bodies_and_leaves_a_record(root, tmp_path):
    """Eight frames, twelve updates: the loss falls. The record scores parts of the body, and its
    files repeat it.
    """
    train, test = (datasets.open("itop", root, split=split) for split in ("train", "test"))
    assert test.skeleton is not None
    recipe = replace(
        papers.recipe("v2v_posenet", dataset="itop", profile="smoke"),
        epochs=3,
        epoch_frames=32,
        warmup=2,
    )
    assert (recipe.cube_train, recipe.cube_test) == ((CUBE,), CUBE)
    torch.manual_seed(0)
    method = papers.create("v2v_posenet", test.skeleton.name, **recipe.network)
    source = training.Stored(train, recipe.cube_train, "stored")
    history = training.fit(method, source, recipe, tmp_path / "run", device="cpu", progress=False)
    assert history.curve[-1]["likelihood"] < history.curve[0]["likelihood"]

    predicted = evaluation.predict(method, test, cube=CUBE, centre="stored")
    measures = {
        **evaluation.score(predicted, test.joints()),
        "map_10cm_by_part": metrics.precision_by_part(predicted, test.joints()),
    }
    assert measures["map_10cm_by_part"]["mean"] == pytest.approx(measures["map_10cm"])
    record = records.new(
        method=method,
        history=history,
        recipe=recipe,
        test=test,
        centre="stored",
        metrics=measures,
        baselines={},
        inference={},
    )
    saved = records.save(
        record,
        tmp_path / "v2v_posenet" / "smoke" / "paper-itop-s0",
        predicted=predicted,
        joints=test.joints(),
        ids=[test[i].id for i in range(len(test))],
    )
    found = records.find(tmp_path, method="v2v_posenet", dataset="itop", synthetic=True)
    assert [run.folder for run in found] == [saved.folder] and records.find(
        tmp_path, dataset="msra"
    ) == []
    assert found[0]["metrics"]["map_10cm_by_part"] == measures["map_10cm_by_part"]
    # A hundredth of a pixel is a tenth of a millimetre at 3 m: joints that close to 10 cm may
    # change sides.
    again = metrics.precision_by_part(*records.joints(found[0]))
    assert again == pytest.approx(measures["map_10cm_by_part"], abs=0.13)
