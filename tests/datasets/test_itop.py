"""ITOP: its HDF5 files value by value, both ways; its protocol; everything that may be wrong;
several processes.
"""

import multiprocessing
import pickle
import shutil
from importlib import import_module
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from handpose_lib import prepare
from handpose_lib.camera import xyz_to_uvd
from handpose_lib.dataset_specs import preset
from handpose_lib.datasets import itop
from handpose_lib.errors import DataError, HandPoseError
from handpose_lib.io import hdf5
from tests.support.data_folders import made_with, opened
from tests.support.fuzzing import fuzz


def joints(count=1, seed=0):
    """Multiples of 2^-9 m, which 16-bit floats hold exactly up to 4 m."""
    spread = torch.rand(count, 15, 3, generator=torch.Generator().manual_seed(seed)) - 0.5
    metres = ((spread * 1.5 + torch.tensor([0.0, 0.0, 3.0])) * 512).round() / 512
    return metres * 1000


def write(root, names, view="front", part="train", valid=None, seed=0):
    count = len(names)
    depth = np.zeros((count, 240, 320))
    depth[:, 100:110, 100:120] = 2000
    depth[:, 0, 0] = 1000 * (1 + np.arange(count))
    with itop.Writer(root, view, part, count) as writer:
        writer.add(
            0,
            names,
            depth,
            joints(count, seed),
            np.ones((count, 15)),
            np.full(depth.shape, -1),
            valid=valid,
        )


@pytest.fixture
def small(tmp_path):
    """Six training frames of three persons, the second one invalid, and two test frames, seen from
    the front.
    """
    names = ["04_00000", "04_00001", "05_00000", "05_00001", "06_00000", "06_00001"]
    write(tmp_path, names, valid=[1, 0, 1, 1, 1, 1])
    write(tmp_path, ["00_00000", "01_00000"], part="test", seed=1)
    return tmp_path


# --- the format ---------------------------------------------------------------


def test_files_are_read_as_the_format_says(tmp_path):
    """Metres, y up, z forward, half precision, names in bytes: written here by hand, not by our
    writer.
    """
    with h5py.File(tmp_path / "ITOP_side_test_depth_map.h5", "w") as file:
        data = np.zeros((1, 240, 320), np.float16)
        data[0, 10, 20], data[0, 239, 319], data[0, 0, 1], data[0, 0, 2], data[0, 0, 3] = (
            2.5,
            0.5,
            -1,
            np.nan,
            np.inf,
        )
        file["data"], file["id"] = data, np.array([b"02_00123"])
    with h5py.File(tmp_path / "ITOP_side_test_labels.h5", "w") as file:
        xyz = np.tile(np.array([0.25, 0.5, 2.0], np.float16), (1, 15, 1))
        file["id"], file["is_valid"] = np.array([b"02_00123"]), np.array([1], np.uint8)
        file["visible_joints"] = np.array([[0] + [1] * 14], np.int16)
        file["image_coordinates"], file["real_world_coordinates"] = (
            np.zeros((1, 15, 2), np.int16),
            xyz,
        )
        file["segmentation"] = np.full((1, 240, 320), -1, np.int8)
    test = opened("itop", tmp_path, split="test")
    frame = test[0]
    assert (
        frame.id == "02_00123"
        and test.persons.tolist() == [2]
        and test.visible[0].tolist() == [False] + [True] * 14
    )
    assert frame.joints[7].tolist() == [250, -500, 2000]  # mm, y down
    # what is negative or no number was not measured
    assert (
        frame.depth[10, 20] == 2500
        and frame.depth[239, 319] == 500
        and frame.depth.count_nonzero() == 2
    )
    u, v, d = xyz_to_uvd(frame.joints[0], frame.camera).tolist()
    # x = (u - 160) z 0.0035, y = (120 - v) z 0.0035
    assert (u, v, d) == pytest.approx((160 + 0.25 / 2 / 0.0035, 120 - 0.5 / 2 / 0.0035, 2000))
    assert test.camera == preset("itop") and test.skeleton.name == "itop15"


def test_the_view_from_above_and_invalid_frames(tmp_path):
    """`top` in the names of the files; joints of frames with `is_valid` 0 are never looked at.
    Written by hand as well.
    """
    for part, valid in (("train", [0, 1]), ("test", [1, 0])):
        names = np.array([b"07_00001", b"07_00002"])
        with h5py.File(tmp_path / f"ITOP_top_{part}_depth_map.h5", "w") as file:
            file["data"], file["id"] = (
                np.full((2, 240, 320), 3.0, np.float16)
                + np.arange(2, dtype=np.float16)[:, None, None],
                names,
            )
        with h5py.File(tmp_path / f"ITOP_top_{part}_labels.h5", "w") as file:
            xyz = np.zeros((2, 15, 3), np.float16)
            xyz[valid.index(1)] = 0.125, -0.25, 2.5
            xyz[valid.index(0), 3] = np.nan
            file["id"], file["is_valid"], file["real_world_coordinates"] = (
                names,
                np.array(valid, np.uint8),
                xyz,
            )
            file["visible_joints"] = np.ones((2, 15), np.int16)
    train, test = (opened("itop", tmp_path, split=split, view="top") for split in ("train", "test"))
    assert [frame.id for frame in train] == ["07_00002"] and [frame.id for frame in test] == [
        "07_00001"
    ]
    assert train[0].depth[5, 5] == 4000 and test[0].depth[5, 5] == 3000
    assert train.joints()[0, 3].tolist() == [125, 250, 2500] and train.protocol["frames"] == "valid"
    with pytest.raises(DataError, match="ITOP_side_test_labels.h5: missing"):
        opened("itop", tmp_path, split="test", view="front")


def column(file: h5py.File, name: str | None) -> Any:
    """A data set of the file, which may hold other things too."""
    return file[name]


def test_names_may_be_strings_of_any_length(small):
    """h5py writes text so; nothing tells how the set's authors did."""
    before = [frame.id for frame in opened("itop", small)]
    for kind in ("labels", "depth_map"):
        with h5py.File(small / f"ITOP_side_train_{kind}.h5", "a") as file:
            names = [name.decode() for name in column(file, "id")[:]]
            del file["id"]
            file.create_dataset("id", data=names, dtype=h5py.string_dtype())
    assert [frame.id for frame in opened("itop", small)] == before
    damaged(
        small / "ITOP_side_train_labels.h5", "id", ["04_00000" * 20] * 6, dtype=h5py.string_dtype()
    )
    with pytest.raises(DataError, match="'id' has a name of 160 bytes; accepted are up to 64"):
        opened("itop", small)


def test_what_is_written_is_what_the_set_has(small):
    with (
        h5py.File(small / "ITOP_side_train_labels.h5") as labels,
        h5py.File(small / "ITOP_side_train_depth_map.h5") as depth,
    ):
        kinds = {
            name: (column(labels, name).dtype.str, column(labels, name).shape[1:])
            for name in labels
        }
        assert kinds == {
            "id": ("|S8", ()),
            "is_valid": ("|u1", ()),
            "visible_joints": ("<i2", (15,)),
            "image_coordinates": ("<i2", (15, 2)),
            "real_world_coordinates": ("<f2", (15, 3)),
            "segmentation": ("|i1", (240, 320)),
        }
        data = column(depth, "data")
        assert (data.dtype.str, data.shape) == ("<f2", (6, 240, 320))
        assert column(depth, "id").dtype.str == "|S8"
        x, y, z = np.moveaxis(column(labels, "real_world_coordinates")[:].astype(float), -1, 0)
        u, v = np.moveaxis(column(labels, "image_coordinates")[:], -1, 0)
        assert (
            np.abs(u - (160 + x / z / 0.0035)).max() <= 0.5
            and np.abs(v - (120 - y / z / 0.0035)).max() <= 0.5
        )


def test_joints_and_depth_survive(small):
    train = opened("itop", small, valid_only=False)
    assert torch.equal(train[0].joints, joints(6)[0]) and [
        frame.depth[0, 0].item() for frame in train
    ] == [1000, 2000, 3000, 4000, 5000, 6000]


# --- the set ------------------------------------------------------------------


def test_only_valid_frames_unless_asked(small):
    train = opened("itop", small)
    assert [frame.id for frame in train] == [
        "04_00000",
        "05_00000",
        "05_00001",
        "06_00000",
        "06_00001",
    ]
    assert train.protocol == {"split": "train", "view": "front", "frames": "valid"}
    assert torch.equal(train.joints(), joints(6)[[0, 2, 3, 4, 5]]) and train.persons.tolist() == [
        4,
        5,
        5,
        6,
        6,
    ]
    every = opened("itop", small, valid_only=False)
    assert len(every) == 6 and every[1].joints is None and every[1].depth[0, 0] == 2000
    with pytest.raises(HandPoseError, match="1 of 6 frames of itop have no usable joints"):
        every.joints()


def test_splits_and_persons(small):
    assert (
        len(opened("itop", small, split="test")) == 2
        and len(opened("itop", small, split="all")) == 7
    )
    options = {"validation": 5}
    rest, held = (
        opened("itop", small, split=split, **options) for split in ("train", "validation")
    )
    assert (
        rest.persons.tolist() == [4, 6, 6]
        and held.persons.tolist() == [5, 5]
        and held[0].id == "05_00000"
    )
    both = opened("itop", small, split="validation", validation=(4, 6))
    assert both.persons.tolist() == [4, 6, 6] and both.protocol["validation"] == [4, 6]
    with pytest.raises(
        HandPoseError, match="unknown validation person of ITOP 0: accepted are 4, 5, 6"
    ):
        opened("itop", small, validation=0)
    with pytest.raises(HandPoseError, match="unknown view of ITOP 'side': accepted are front, top"):
        opened("itop", small, view="side")
    with pytest.raises(DataError, match="ITOP_top_train_labels.h5: missing"):
        opened("itop", small, view="top")


def test_published_reference_points_are_metres_with_y_up(small, tmp_path):
    lines = ["0.1 0.2 3"] * 6
    lines[3] = "invalid"
    (tmp_path / "center_train.txt").write_text("\n".join(lines))
    train = opened("itop", small, centres=tmp_path)
    assert [frame.id for frame in train] == ["04_00000", "05_00000", "06_00000", "06_00001"]
    assert train[0].centre.tolist() == pytest.approx([100, -200, 3000])
    (tmp_path / "center_train.txt").write_text("\n".join(lines[:5]))
    with pytest.raises(DataError, match="center_train.txt: 5 reference points for 6 frames"):
        opened("itop", small, centres=tmp_path)


def test_labels_and_depth_must_belong_together(small):
    test, train = (small / f"ITOP_side_{part}_depth_map.h5" for part in ("test", "train"))
    shutil.copy(test, train)
    with pytest.raises(
        DataError, match="train_depth_map.h5: 2 images, but ITOP_side_train_labels.h5 has 6 labels"
    ):
        opened("itop", small)
    write(small, ["04_00000", "04_00001", "05_00000", "05_00001", "06_00000", "06_00009"])
    shutil.copy(small / "ITOP_side_train_depth_map.h5", small / "kept.h5")
    write(small, ["04_00000", "04_00001", "05_00000", "05_00001", "06_00000", "06_00001"])
    shutil.move(small / "kept.h5", train)
    with pytest.raises(DataError, match="frames of other names than ITOP_side_train_labels.h5"):
        opened("itop", small)


def test_fingerprint_sees_a_changed_label(small):
    before = opened("itop", small).fingerprint
    assert opened("itop", small, split="test").fingerprint == before and len(before) == 16
    with h5py.File(small / "ITOP_side_test_labels.h5", "a") as file:
        column(file, "real_world_coordinates")[0, 0, 0] += 0.25
    assert opened("itop", small).fingerprint != before


def depth_sums(frames):
    return [frame.depth.sum().item() for frame in frames]


def test_several_processes_read_one_set(small):
    """Open files survive neither a fork nor a pickle; each process opens its own."""
    train = opened("itop", small)
    expected = depth_sums(train)
    assert depth_sums(pickle.loads(pickle.dumps(train))) == expected
    with multiprocessing.get_context("fork").Pool(2, torch.set_num_threads, (1,)) as pool:
        assert pool.map(depth_sums, [train] * 4) == [expected] * 4


# --- a synthetic set from end to end ------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The persons of the set, fewer of them."""
    layout = import_module("data_scripts.formats.itop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "PERSONS", {"test": range(2), "train": range(4, 7)})
        yield made_with("itop", 2, tmp_path_factory.mktemp("synthetic") / "itop")


@pytest.mark.parametrize("view", ["front", "top"])
def test_synthetic_set(made, view):
    every = opened("itop", made, split="all", view=view, valid_only=False)
    assert len(every) == 10 and every.synthetic and every.settings()["protocol"] == "itop"
    assert every.persons.tolist() == [4, 4, 5, 5, 6, 6, 0, 0, 1, 1]
    shares = [
        import_module("data_scripts.support.checking").on_surface(
            frame.depth, frame.joints[seen], frame.camera, under_mm=160
        )
        for frame, seen in zip(every, every.visible)
        if frame.joints is not None and seen.any()
    ]
    # a sensor loses some pixels and edges fray; a wrong sign would leave almost none
    assert torch.stack(shares).mean() > 0.8
    rendered = import_module("data_scripts.formats.itop").render([0], view, 0, every.settings())
    frame = opened("itop", made, split="test", view=view, valid_only=False)[0]
    # half precision: 11 bits
    assert ((frame.depth - rendered.depth[0]).abs() <= rendered.depth[0] / 2**11 + 1e-3).all()
    if frame.joints is not None:
        assert (
            (frame.joints - rendered.joints[0]).abs() <= rendered.joints[0].abs() / 2**11 + 1e-3
        ).all()
    assert (
        frame.centre - rendered.centre[0]
    ).abs().max() < 0.06  # four decimals of a metre, half of the last


def test_synthetic_frames_are_prepared(made):
    train = opened("itop", made)
    crops = prepare.batch(train.frames(range(2)), 2000.0, "stored")
    assert ((prepare.image(crops, 64) < 1).double().mean((1, 2, 3)) > 0.02).all()


def test_check_finds_what_is_missing_and_damaged(made, tmp_path, capsys):
    script = import_module("data_scripts.itop")
    root = shutil.copytree(made, tmp_path / "set")
    assert script.main(["--root", str(root), "--check"]) == 0
    assert f"fingerprint {opened('itop', made).fingerprint}" in capsys.readouterr().out
    (root / "ITOP_top_test_labels.h5").unlink()
    depth = root / "ITOP_side_train_depth_map.h5"
    depth.write_bytes(depth.read_bytes()[:-500])
    assert script.main(["--root", str(root), "--check"]) == 1
    faults = capsys.readouterr().err
    assert (
        "ITOP_top_test_labels.h5: missing" in faults and f"{depth}: not a whole HDF5 file" in faults
    )
    assert (
        script.main(["--root", str(tmp_path / "none")]) == 1
        and "zenodo.org/records/3932973" in capsys.readouterr().err
    )


# --- what is refused ----------------------------------------------------------


def damaged(path, name, values=None, **options):
    with h5py.File(path, "a") as file:
        del file[name]
        if values is not None or options:
            file.create_dataset(name, data=values, **options)


@pytest.mark.parametrize(
    "name, values, message",
    [
        ("id", None, "no 'id' in this file; there are image_coordinates"),
        (
            "id",
            np.array([b"no name"] * 2),
            "frame 0 is called b'no name'; accepted is PERSON_FRAME",
        ),
        ("is_valid", np.ones(3, np.uint8), r"'is_valid' has shape \(3,\); accepted is \(2\)"),
        (
            "is_valid",
            np.ones(2),
            "'is_valid' holds float64; accepted are whole numbers or truth values",
        ),
        ("visible_joints", np.ones((2, 14), np.int16), "'visible_joints' has shape"),
        (
            "real_world_coordinates",
            np.ones((2, 15, 3), np.int16),
            "accepted are floating-point numbers",
        ),
        (
            "real_world_coordinates",
            np.full((2, 15, 3), np.nan),
            "frame 0 is valid and has a joint that is not finite",
        ),
        ("real_world_coordinates", -np.ones((2, 15, 3)), "not in front of the camera"),
    ],
)
def test_damaged_labels_are_named(small, name, values, message):
    path = small / "ITOP_side_test_labels.h5"
    damaged(path, name, values)
    with pytest.raises(DataError, match=f"ITOP_side_test_labels.h5: .*{message}"):
        opened("itop", small, split="test")


def test_files_that_lead_elsewhere_are_refused(small):
    """Links to other files, storage outside, virtual data, strings of any length, chunks that fill
    the memory.
    """
    path, secret = small / "ITOP_side_test_labels.h5", small / "secret.bin"
    secret.write_bytes(bytes(16))
    cases = {}
    with h5py.File(path, "a") as file:
        file["soft"], file["external"] = (
            h5py.SoftLink("/is_valid"),
            h5py.ExternalLink("other.h5", "/is_valid"),
        )
        file.create_dataset("outside", (2,), "u1", external=[(str(secret), 0, 2)])
        layout = h5py.VirtualLayout((2,), "u1")
        layout[:] = h5py.VirtualSource("other.h5", "is_valid", (2,))
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("text", (2,), h5py.string_dtype())
        file.create_dataset("chunky", (1 << 28,), "u1", chunks=(1 << 27,))
        file.create_group("group")
        file.create_dataset("vast", (1 << 40,), "u1", chunks=(1 << 10,))
        cases = {
            "soft": "no 'soft'",
            "external": "no 'external'",
            "outside": "lies in another file",
            "virtual": "lies in another file",
            "text": "'text' holds object",
            "chunky": "chunks of shape",
            "group": "is a group",
            "missing": "no 'missing'",
        }
    with hdf5.opened(path, "labels") as file:
        for name, message in cases.items():
            with pytest.raises(DataError, match=f"ITOP_side_test_labels.h5: .*{message}"):
                hdf5.dataset(file, name, (None,), "biu")
        vast = hdf5.dataset(file, "vast", (None,), "biu")
        with pytest.raises(DataError, match="asks for 1,099,511,627,776 bytes at once"):
            hdf5.read(vast)
        assert hdf5.read(vast, slice(5, 8)).tolist() == [0, 0, 0]


def test_thousands_of_damaged_label_files(tmp_path):
    write(tmp_path, ["04_00000", "05_00000"])
    path = tmp_path / "ITOP_side_train_labels.h5"
    fuzz(itop.read_labels, path, path.read_bytes())


def test_thousands_of_damaged_depth_files(tmp_path):
    write(tmp_path, ["04_00000"])
    path = tmp_path / "ITOP_side_train_depth_map.h5"

    def read(path):
        with hdf5.opened(path, "depth") as file:
            itop.read_depth(hdf5.dataset(file, "data", (None, 240, 320), "f"), 0)

    fuzz(read, path, path.read_bytes())
