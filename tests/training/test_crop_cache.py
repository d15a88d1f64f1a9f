"""The packed cache: the batches of training bit for bit, made anew when its source changes, whole
or not there.
"""

import multiprocessing
import pickle

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from handpose_lib import datasets, training
from handpose_lib.datasets import msra
from handpose_lib.datasets.subset import Subset
from handpose_lib.errors import DataError
from handpose_lib.io import hdf5
from handpose_lib.training import crop_cache
from tests.support.fuzzing import fuzz

CUBES = (220.0, 250.0)
GESTURES = ["1", "T"]


def write_set(root, frames=4, seed=0):
    """Frames of two gestures of nine subjects: a ball each, with the joints on it."""
    generator = torch.Generator().manual_seed(seed)
    v, u = torch.meshgrid(torch.arange(240.0), torch.arange(320.0), indexing="ij")
    for subject in msra.SUBJECTS:
        for gesture in GESTURES:
            place = root / f"P{subject}" / gesture
            place.mkdir(parents=True, exist_ok=True)
            draw = torch.rand(frames, 4, generator=generator)
            centres = torch.stack(
                [40 * draw[:, 0] - 20, 40 * draw[:, 1] - 20, 350 + 100 * draw[:, 2]], -1
            )
            for i, (x, y, z) in enumerate(centres.tolist()):
                apart = ((u - 160) * z / 241.42 - x).square() + (
                    (v - 120) * z / 241.42 - y
                ).square()
                depth = torch.where(apart < 3600, z - 20 + apart / 120, 0)
                msra.write_frame(place / msra.frame_name(i), depth.numpy())
            joints = centres[:, None] + 80 * (torch.rand(frames, 21, 3, generator=generator) - 0.5)
            msra.write_joints(place / "joint.txt", joints.numpy())
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("msra"))


@pytest.fixture
def data(root):
    return datasets.open("msra", root, gestures=GESTURES)


def files(folder):
    """The names of the files of a cache, without the locks."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def same(one, other):
    assert one.ids == other.ids
    for name in (
        "depth",
        "origin",
        "camera",
        "centre",
        "cube",
        "rotation",
        "aspect",
        "mirror",
        "joints",
    ):
        assert torch.equal(getattr(one, name), getattr(other, name)), name


@pytest.mark.parametrize("centre", ["mass", "true"])
def test_the_same_batches_as_stored_frames(tmp_path, data, centre):
    stored, cache = (
        training.Stored(data, CUBES, centre),
        crop_cache.Packed(data, CUBES, centre, path=tmp_path / "p"),
    )
    assert (
        cache.made
        and len(cache) == len(stored) == 8 * 2 * 4
        and cache.describe() == stored.describe()
    )
    for step in (0, 3, 11):
        same(cache.batch(step, 12, seed=5), stored.batch(step, 12, seed=5))
    for one, other in zip(cache.sweep(batch=20), stored.sweep(batch=20), strict=True):
        same(one, other)


def test_made_once_and_then_only_opened(tmp_path, data, monkeypatch):
    first = crop_cache.Packed(data, CUBES, path=tmp_path / "p")
    monkeypatch.setattr(type(data), "_frame", lambda *_: pytest.fail("an original was read"))
    again = crop_cache.Packed(data, CUBES, path=tmp_path / "p")
    assert first.made and not again.made
    same(again.batch(0, 8), first.batch(0, 8))
    assert files(tmp_path / "p") == ["00000.h5"]


def test_made_anew_when_the_source_changes(tmp_path, monkeypatch):
    root, path = write_set(tmp_path / "set"), tmp_path / "p"

    def opened(**options):
        return crop_cache.Packed(
            datasets.open("msra", root, gestures=GESTURES, subject=options.pop("subject", 8)),
            CUBES,
            path=path,
            **options,
        )

    assert opened().made and not opened().made
    assert opened(margin=1.6).made and opened().made and opened(subject=7).made and opened().made
    assert opened(centre="true").made and opened().made
    write_set(root, seed=1)  # other frames and other labels in the same files
    anew = opened()
    assert anew.made and not opened().made
    same(
        anew.batch(0, 8),
        training.Stored(datasets.open("msra", root, gestures=GESTURES), CUBES).batch(0, 8),
    )
    monkeypatch.setattr(crop_cache.provenance, "digest", lambda _: "other code")
    assert opened().made


def test_caches_of_different_frames_lie_side_by_side(tmp_path, data, root, monkeypatch):
    monkeypatch.setenv("HANDPOSE_DATA", str(tmp_path))
    places = {
        crop_cache.Packed(data, CUBES).path,
        crop_cache.Packed(data, CUBES, "true").path,
        crop_cache.Packed(data, 200.0).path,
        crop_cache.Packed(datasets.open("msra", root, split="test", gestures=GESTURES), CUBES).path,
    }
    assert len(places) == 4 and {place.parent for place in places} == {tmp_path / "packed"}
    assert all(place.name.startswith("msra-") for place in places)
    kept = Subset(data, data.subjects != 3, "without 3")
    assert crop_cache.Packed(kept, CUBES).path not in places


def test_a_subset_is_known_by_its_frames_not_by_its_note(tmp_path, data):
    path = tmp_path / "p"
    one, other = (Subset(data, torch.tensor(rows), "some") for rows in ([0, 1, 2], [2, 1, 0]))
    assert (
        crop_cache.Packed(one, CUBES, path=path).made
        and crop_cache.Packed(other, CUBES, path=path).made
    )
    assert crop_cache.Packed(other, CUBES, path=path).crops([0]).ids == [data[2].id]


def test_damaged_caches_are_made_anew(tmp_path, data):
    path, shard = tmp_path / "p", tmp_path / "p" / "00000.h5"
    expected = crop_cache.Packed(data, CUBES, path=path).batch(0, 8)
    whole = shard.read_bytes()
    for content in (b"", b"foreign", whole[:-1000], whole[: len(whole) // 2]):
        shard.write_bytes(content)
        cache = crop_cache.Packed(data, CUBES, path=path)
        assert cache.made
        same(cache.batch(0, 8), expected)
    for name, place, value in (("start", 3, 5), ("size", (2, 0), -1), ("start", -1, 1 << 40)):
        with h5py.File(shard, "a") as file:
            dataset = file[name]
            assert isinstance(dataset, h5py.Dataset)
            dataset[place] = value
        assert crop_cache.Packed(data, CUBES, path=path).made


def test_damaged_caches_are_made_anew_or_read(tmp_path, data):
    """Each is taken for no cache, or read without harm."""
    few = Subset(data, torch.arange(2), "two")
    cache = crop_cache.Packed(few, 30.0, "true", path=tmp_path / "p")  # small windows, small file

    def read(path):
        columns = crop_cache._open(path, {**cache.settings, "shard": 0}, 2)
        if columns is None:
            raise DataError(f"{path}: no cache")
        cache._columns = {0: columns}
        cache.batch(0, 2)

    shard = tmp_path / "p" / "00000.h5"
    fuzz(read, shard, shard.read_bytes())


def test_a_changed_pixel_is_noticed(tmp_path, data):
    cache = crop_cache.Packed(data, CUBES, path=tmp_path / "p")
    shard = tmp_path / "p" / "00000.h5"
    with h5py.File(shard, "a") as file:
        depth = file["depth"]
        assert isinstance(depth, h5py.Dataset)
        depth[len(depth) // 2] ^= 1
    again = crop_cache.Packed(data, CUBES, path=tmp_path / "p")
    assert not again.made
    with pytest.raises(DataError, match="00000.h5: damaged pixels .*made anew when it is removed"):
        again.crops(range(64))
    assert len(cache) == 64


def test_the_file_says_what_it_holds(tmp_path, data):
    crop_cache.Packed(data, CUBES, path=tmp_path / "p")
    with h5py.File(tmp_path / "p" / "00000.h5") as file:
        assert set(file) == {
            "settings",
            "depth",
            "start",
            "size",
            "origin",
            "camera",
            "centre",
            "mirror",
            "joints",
            "id",
        }
        depth, joints = hdf5.dataset(file, "depth", (None,), "iu"), file["joints"]
        assert isinstance(joints, h5py.Dataset)
        assert depth.dtype == np.dtype("u1") and joints.shape == (64, 21, 3)
        names = hdf5.read(hdf5.dataset(file, "id", (64,), "S"))
        settings = hdf5.read(hdf5.dataset(file, "settings", (None,), "iu"))
        assert names[0] == b"P0/1/000000" and data.fingerprint in settings.tobytes().decode()


def test_packing_that_is_cut_off_leaves_nothing(tmp_path, data, monkeypatch):
    path, cut = tmp_path / "p", training.Stored._cut

    def failing(self, indices):
        if 63 in indices:
            raise DataError("frame 63: cannot be read")
        return cut(self, indices)

    monkeypatch.setattr(crop_cache, "BATCH", 16)
    monkeypatch.setattr(training.Stored, "_cut", failing)
    with pytest.raises(DataError, match="frame 63"):
        crop_cache.Packed(data, CUBES, path=path)
    assert files(path) == []
    monkeypatch.undo()
    before = crop_cache.Packed(data, CUBES, path=path).batch(0, 8)
    monkeypatch.setattr(training.Stored, "_cut", failing)
    with pytest.raises(DataError, match="frame 63"):
        crop_cache.Packed(data, CUBES, path=path, margin=1.5)
    assert files(path) == ["00000.h5"]
    same(
        crop_cache.Packed(data, CUBES, path=path).batch(0, 8), before
    )  # the old one is still whole


def test_no_place_to_write_is_named(tmp_path, data):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="00000.h5 cannot be written.*HANDPOSE_DATA"):
        crop_cache.Packed(data, CUBES, path=tmp_path / "file" / "p")


def first_batch(source):
    return source.batch(0, 8).depth.sum().item()


def test_several_processes_read_one_cache(tmp_path, data):
    cache = crop_cache.Packed(data, CUBES, path=tmp_path / "p")
    expected = first_batch(cache)
    assert first_batch(pickle.loads(pickle.dumps(cache))) == expected
    with multiprocessing.get_context("fork").Pool(2, torch.set_num_threads, (1,)) as pool:
        assert pool.map(first_batch, [cache] * 4) == [expected] * 4


@pytest.mark.parametrize("workers", [1, 2])
def test_shards_are_made_by_several_processes_and_hold_the_same_windows(
    tmp_path, data, workers, monkeypatch
):
    monkeypatch.setattr(crop_cache, "BATCH", 7)
    path = tmp_path / "p"
    cache = crop_cache.Packed(data, CUBES, path=path, shard=24, workers=workers)
    assert files(path) == ["00000.h5", "00001.h5", "00002.h5"]
    stored = training.Stored(data, CUBES).crops(range(64))
    same(cache.crops(range(64)), stored)
    one = crop_cache.Packed(data, CUBES, path=path)
    assert one.made and files(path) == ["00000.h5"]  # what is not needed any more is gone
    same(one.crops(range(64)), stored)


def test_a_packing_that_was_interrupted_continues(tmp_path, data, monkeypatch):
    path, cut = tmp_path / "p", training.Stored._cut
    monkeypatch.setattr(
        training.Stored,
        "_cut",
        lambda self, rows: pytest.fail("stopped") if 30 in rows else cut(self, rows),
    )
    with pytest.raises(pytest.fail.Exception):
        crop_cache.Packed(data, CUBES, path=path, shard=24, workers=1)
    assert files(path) == ["00000.h5"]
    read = []

    def counted(self, rows):
        read.extend(rows)
        return cut(self, rows)

    monkeypatch.setattr(training.Stored, "_cut", counted)
    cache = crop_cache.Packed(data, CUBES, path=path, shard=24, workers=1)
    assert cache.made and sorted(read) == list(range(24, 64))
    monkeypatch.setattr(training.Stored, "_cut", cut)
    same(cache.crops(range(64)), training.Stored(data, CUBES).crops(range(64)))


def pack_in_process(root, path, ready, done):
    data = datasets.open("msra", root, gestures=GESTURES)
    ready.wait()
    cache = crop_cache.Packed(data, CUBES, path=path)
    done.put((cache.made, cache.batch(0, 8).depth.sum().item()))


@pytest.mark.race
def test_four_that_pack_at_once_make_one_whole_cache(tmp_path, root, data):
    processes = multiprocessing.get_context("forkserver")
    ready, done = processes.Barrier(4), processes.Queue()
    programs = [
        processes.Process(target=pack_in_process, args=(root, tmp_path / "p", ready, done))
        for _ in range(4)
    ]
    for program in programs:
        program.start()
    found = [done.get(timeout=300) for _ in programs]
    for program in programs:
        program.join()
    expected = training.Stored(data, CUBES).batch(0, 8).depth.sum().item()
    assert {total for _, total in found} == {expected}
    assert files(tmp_path / "p") == ["00000.h5"]


@given(
    arrays(
        np.int16,
        array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=40),
        elements=st.integers(-(2**15), 2**15 - 1),
    ),
    st.integers(0, 10**6),
)
@settings(max_examples=200, deadline=None)
def test_pixels_come_back_bit_for_bit_or_not_at_all(pixels, place):
    content = crop_cache.compressed(pixels)
    assert np.array_equal(crop_cache.decompressed(content, pixels.shape), pixels)
    for damaged in (content[: place % len(content)], content + b"0" * (place % 3 + 1)):
        if damaged != content and not damaged.startswith(content):
            with pytest.raises(ValueError, match="damaged pixels"):
                crop_cache.decompressed(damaged, pixels.shape)
    with pytest.raises(ValueError, match="damaged pixels"):
        crop_cache.decompressed(content, (pixels.shape[0] + 1, pixels.shape[1] + 1))
