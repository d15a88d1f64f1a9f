"""Repeat the start of recorded runs, to check that changed code computes the same.

    python pipeline/experiments/replay.py                        # all records of changed code
    python pipeline/experiments/replay.py book/records/jgr_p2o/laptop/paper-synthetic-s0
    python pipeline/experiments/replay.py --remember before      # before a change of the code
    python pipeline/experiments/replay.py --against before       # after it: compare

A record is marked in every table once a module that its run used has changed, although most changes
(a new option, a renamed function) do not change its numbers. The first epoch costs a tenth of the
run and uses everything that determines it: frames, crops, augmentation, network, loss, optimiser.
If it ends with the recorded losses, bit for bit, and the recorded predictions still have the
recorded score, the record gets the digest of the present code; `code.replayed` states how this was
shown. Otherwise the mark stays, and the run must be repeated.

Processors round differently, so that losses agree bit for bit only on a machine like that of the
run. On another machine, the old code trains the first updates before the change (`--remember`), and
the new code is compared with them (`--against`): losses and weights must agree bit for bit. A data
set whose generator has changed may then have another fingerprint, if all its files are the same.

After a change of the code that renders, every set has another fingerprint. If it renders the same,
`--same-data OLD NEW` compares two folders and gives all records the new one, without a training.

The networks that locate hands are trained on rendered frames only. Their first updates are repeated
and compared with those that `--remember` has kept. The stress and transfer experiments check their
own records in part, and need the real frames that they were made with (see their `check`).
"""

import argparse
import hashlib
import json
import sys
import tempfile
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from handpose_lib import evaluation, papers, paths
from handpose_lib.datasets.base import SYNTHETIC, digest, read_settings
from handpose_lib.datasets.splits import EMBEDDED
from handpose_lib.errors import HandPoseError
from handpose_lib.hand_detection import centre_refiner, hand_detector, trained
from handpose_lib.io.storage import read_json, write_json
from handpose_lib.papers.method import Recipe
from handpose_lib.results import records
from handpose_lib.runs import Run
from pipeline.experiments import stress, transfer

UPDATES = 8
"""Updates of a network that locates hands, in a replay."""
FIRST = 32
"""Updates of a training that old and new code are compared by."""
OTHER_MACHINE = "the code before, on one other machine"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folders", nargs="*", type=Path, help="folders of records; default: all marked ones"
    )
    parser.add_argument("--root", type=Path, help="folder of the data set; default: its usual one")
    parser.add_argument("--remember", type=Path, help="folder: keep the first updates of this code")
    parser.add_argument(
        "--against", type=Path, help="folder: compare with the first updates kept there"
    )
    parser.add_argument(
        "--same-data",
        nargs=2,
        type=Path,
        metavar=("OLD", "NEW"),
        help="folders of a synthetic set, made by code before and by present code: if not a file"
        " differs, the records of the first are of the second",
    )
    chosen = parser.parse_args(arguments)
    if chosen.same_data:
        print(f"{rename_all(*chosen.same_data)} records: the same data")
        return 0
    if chosen.folders:
        found = [records.load(folder) for folder in chosen.folders]
    else:
        known = [record for kind in records.KINDS for record in records.load_all(kind=kind)]
        found = [record for record in known if chosen.remember or records.is_stale(record)]
    failed = 0
    for record in found:
        try:
            if chosen.remember and record["kind"] == "stress":
                print(f"{record.key}: nothing to keep, its errors agree on every machine")
            elif chosen.remember:
                write_json(remembered(record, chosen.remember), start(record, chosen.root, FIRST))
                print(f"{record.key}: kept", flush=True)
            else:
                replay(record, chosen.root, chosen.against)
                print(f"{record.key}: the same", flush=True)
        except HandPoseError as error:
            failed += 1
            print(f"{record.key}: {error}", file=sys.stderr, flush=True)
    return int(failed > 0)


def replay(record: records.Record, root: Path | None = None, against: Path | None = None) -> None:
    """Give a record the digest of the present code, if that computes the same as the run.

    `against`: a folder that `--remember` has filled; None compares with the record itself.
    Errors: `HandPoseError` if losses, recipe, data or score differ. The record then stays as it
    was.
    """
    before = None if against is None else remembered(record, against)
    if record["kind"] == "stress":
        records.restamp(record, **stress.check(record))
        return
    if record["kind"] == "transfer":
        losses = None if before is None else read_json(before)["curve"]
        machine = {} if before is None else {"against": OTHER_MACHINE}
        records.restamp(record, **transfer.check(record, losses), **machine)
        return
    if record["kind"] == "training":
        compare_recipe(record)
        scored = evaluation.score(*records.joints(record))["mean_joint_error_mm"]
        if abs(scored - record.error_mm) > 0.05:  # the files are rounded
            raise HandPoseError(
                f"its predictions score {scored:.2f} mm, {record.error_mm:.2f} are recorded"
            )
    elif before is None:
        raise HandPoseError("its frames are rendered: accepted is --against, or train it again")
    now = start(record, root, None if before is None else FIRST)
    if before is None:
        compare("data set", now["data"]["fingerprint"], record["training"]["source"]["fingerprint"])
        compare("first epoch", now["curve"], record["curve"][0])
        records.restamp(record, epochs=1)
        return
    known = read_json(before)
    compare("start", now["curve"], known["curve"])
    compare("weights", now["weights"], known["weights"])
    replayed = {"updates": FIRST if record["kind"] == "training" else UPDATES}
    if "data" in now:
        old, new = known["data"]["fingerprint"], now["data"]["fingerprint"]
        compare("data set", old, record["training"]["source"]["fingerprint"])
        compare("content of the data set", now["data"]["content"], known["data"]["content"])
        if new != old:
            records.rename_data(record, new)
            replayed["data_instead_of"] = old
    records.restamp(record, **replayed, against=OTHER_MACHINE)


def rename_all(old: Path, new: Path) -> int:
    """Give the records of one set the fingerprint of another with the same files.

    Returns the number of records. Errors: a set that is not synthetic, other content.
    """
    compare("content of the data set", content(new), content(old))
    before, after = (digest(read_settings(folder)) for folder in (old, new))
    if before == after:
        return 0
    found = [
        record
        for record in records.load_all()
        if record["training"]["source"].get("fingerprint") == before
    ]
    for record in found:
        records.rename_data(record, after)
        write_json(record.folder / "record.json", records.validated(record))
    for path in (paths.records() / "labels").glob(f"{before}-*"):
        path.unlink()
    return len(found)


class Start(Run):
    """The first `FIRST` updates of a run, as a training of one epoch."""

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe of the run with so short an epoch."""
        whole = super().recipe
        return replace(whole, epochs=1, epoch_frames=FIRST * whole.batch)


def start(
    record: records.Record, root: Path | None = None, updates: int | None = None
) -> dict[str, Any]:
    """Train the start of a run with the present code: its first epoch, or only the first updates.

    Returns `curve`, the entry of the epoch, and `weights`, their digest; for a training also
    `data`, fingerprint and digest of the files of the data set.
    Errors: frames that were rendered on the fly, or weights chosen by validation.
    """
    if record["kind"] == "transfer":
        torch.set_num_threads(record["device"]["threads"])
        return {"curve": transfer.first_losses(record["frames"])}
    if record["kind"] != "training":
        return first_updates(record)
    run = present_run(record, root, Run if updates is None else Start)
    torch.set_num_threads(record["device"]["threads"])
    with tempfile.TemporaryDirectory() as out:
        run = replace(run, out=out)
        data = run.open_data()
        method = run.create_method(data)
        run.prepare_method(method, data)
        history = run.train(method, data, until=1, checkpoint_seconds=float("inf"))
    files = {"fingerprint": data.train.fingerprint, "content": content(data.train.root)}
    return {"curve": history.curve[0], "weights": weights(method), "data": files}


def first_updates(record: records.Record) -> dict[str, Any]:
    """Train the first updates of a network that locates hands; see `start`."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network, config = trained.NETWORKS[record["kind"]]
    fresh = network(config(**record["config"]))
    if isinstance(fresh, centre_refiner.CentreRefiner):
        curve = centre_refiner.train(fresh, 2 * UPDATES, batch=4, device="cpu", progress=False)
    else:
        options = {"batch": 4, "device": "cpu", "progress": False}
        curve = hand_detector.train(fresh, 4 * UPDATES, **options)
        curve += hand_detector.train_look(fresh, 4 * UPDATES, **options)
    return {"curve": curve, "weights": weights(fresh)}


def weights(network: nn.Module) -> str:
    """Return a digest of a network's state."""
    state = hashlib.sha256()
    for tensor in network.state_dict().values():
        state.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()


def compare_recipe(record: records.Record) -> None:
    """Errors: the present recipe differs from the recorded one."""
    recipe = papers.recipe(
        record["method"], record.dataset_name, record["profile"], record["variant"]
    )
    plain = json.loads(json.dumps(vars(recipe)))
    compare("recipe", {name: plain.get(name) for name in record["recipe"]}, record["recipe"])


def present_run(record: records.Record, root: Path | None, kind: type[Run] = Run) -> Run:
    """Return the run of a record, with the present recipe."""
    source = record["training"]["source"]
    if source["kind"] != "stored" or record["training"]["choice"].startswith("best epoch"):
        raise HandPoseError(
            "its frames were rendered on the fly, or its weights chosen by validation: "
            "run it again instead"
        )
    if root is None and record["dataset"]["synthetic"] and record.dataset_name != EMBEDDED:
        root = paths.data() / "synthetic" / f"{record.dataset_name}-laptop"
    names = {"subject": "subject", "view": "view", "split_by": "split by"}
    named = {name: source["protocol"].get(key) for name, key in names.items()}
    return kind(
        record["method"],
        record["profile"],
        record.dataset_name,
        root,
        variant=record["variant"],
        seed=record["seed"],
        device=record["device"]["type"],
        centre=source["centre"],
        **{name: value for name, value in named.items() if value is not None},
    )


@cache
def content(root: Path) -> str:
    """Return a digest of a data set's files, without the one that states which code made it."""
    state = hashlib.sha256()
    for path in sorted(path for path in Path(root).rglob("*") if path.is_file()):
        if path.name != SYNTHETIC:
            state.update(path.relative_to(root).as_posix().encode() + b"\0")
            with open(path, "rb") as file:
                state.update(hashlib.file_digest(file, "sha256").digest())
    return state.hexdigest()


def remembered(record: records.Record, folder: Path) -> Path:
    """Return the file in which `--remember` keeps the start of a run."""
    return folder / f"{record.key.replace('/', '__')}.json"


def compare(what: str, now: object, before: object) -> None:
    """Errors: `HandPoseError` if the two differ."""
    if now != before:
        raise HandPoseError(f"its {what} is no longer the same: {now} now, {before} before")


if __name__ == "__main__":
    sys.exit(main())
