"""Trains the first epoch of recorded runs again, to see whether changed code still does the same.

    python pipeline/experiments/replay.py                        # all records of changed code
    python pipeline/experiments/replay.py book/records/jgr_p2o/laptop/paper-synthetic-s0
    python pipeline/experiments/replay.py --remember before      # by the code as it is now
    python pipeline/experiments/replay.py --against before       # after a change: still the same?

A record is marked in every table once a module that its run used has changed, though most changes
(an option added, a function renamed) leave its numbers as they were. The first epoch costs a tenth
of the run and passes through all that decides it: frames, crops, augmentation, network, loss,
optimiser. Where it ends with the recorded losses, bit for bit, and the recorded predictions still
score as recorded, the record takes the digest of the present code, and says under `code.replayed`
that this was done. Otherwise the mark stays, and the run has to be made again.

Processors round differently, so losses agree bit for bit only on a machine like the one of the run.
On another machine, let the old code train the first epochs before the change (`--remember`), and
compare the new code with them (`--against`): losses and weights must be the same bits. A data set
whose generator has changed may then have another fingerprint, if all its files are still the same.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from functools import cache
from pathlib import Path

import torch

from handpose_lib import datasets, evaluation, papers, paths, prepare, training
from handpose_lib.datasets.base import SYNTHETIC, Dataset
from handpose_lib.errors import HandPoseError
from handpose_lib.io.storage import read_json, write_json
from handpose_lib.papers.method import Recipe
from handpose_lib.results import records


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folders", nargs="*", type=Path, help="folders of records; all that are marked without one"
    )
    parser.add_argument(
        "--root", type=Path, help="folder of the data set; without it, its usual place"
    )
    parser.add_argument("--remember", type=Path, help="folder: keep the first epochs of this code")
    parser.add_argument(
        "--against", type=Path, help="folder: compare with the first epochs kept there"
    )
    chosen = parser.parse_args(arguments)
    if chosen.folders:
        found = [records.load(folder) for folder in chosen.folders]
    else:
        found = [r for r in records.load_all() if chosen.remember or records.is_stale(r)]
    failed = 0
    for record in found:
        try:
            if chosen.remember:
                write_json(remembered(record, chosen.remember), first_epoch(record, chosen.root))
                print(f"{record.key}: kept", flush=True)
            else:
                replay(record, chosen.root, chosen.against)
                print(f"{record.key}: the same", flush=True)
        except HandPoseError as error:
            failed += 1
            print(f"{record.key}: {error}", file=sys.stderr, flush=True)
    return int(failed > 0)


def replay(record: records.Record, root: Path | None = None, against: Path | None = None) -> None:
    """Give the record the digest of the present code, if that does the same as the code of the run.

    `against` is a folder that `--remember` has filled; without it, the record itself is the
    measure.
    Errors: first epoch, recipe, data or score are no longer the same; nothing is kept for the
    record.
    """
    compare_recipe(record)
    scored = evaluation.score(*records.joints(record))["mean_joint_error_mm"]
    if abs(scored - record.error_mm) > 0.05:  # the files are rounded
        raise HandPoseError(
            f"its predictions score {scored:.2f} mm, {record.error_mm:.2f} are recorded"
        )
    now = first_epoch(record, root)
    if against is None:
        compare("data set", now["data"]["fingerprint"], record["training"]["source"]["fingerprint"])
        compare("first epoch", now["curve"], record["curve"][0])
    else:
        before = read_json(remembered(record, against))
        recorded = record["training"]["source"]["fingerprint"]
        compare("data set", before["data"]["fingerprint"], recorded)
        for part in ("content", "curve", "weights"):
            what = {"content": "data set", "curve": "first epoch"}.get(part, part)
            compare(
                what,
                now["data"][part] if part == "content" else now[part],
                before["data"][part] if part == "content" else before[part],
            )
    restamp(record, now, against is not None)


def first_epoch(record: records.Record, root: Path | None = None) -> dict:
    """Train the first epoch of a run by the present code.

    Returns `curve`, the entry of the epoch; `weights`, a digest of them; `code`, the digest of the
    code; `data`: fingerprint and digest of the files of the data set.
    Errors: frames that were rendered on the fly, or weights chosen by validation.
    """
    recipe = present_recipe(record)
    frames = open_frames(record, root)
    source = training.Stored(frames, recipe.cube_train, record["training"]["source"]["centre"])
    torch.set_num_threads(record["device"]["threads"])
    torch.manual_seed(record["seed"])
    method = papers.create(
        record["method"], record["protocol"]["joints"], record["variant"], **recipe.network
    )
    if hasattr(method, "fit_prior"):
        sweep = evaluation.sweep(source, cube=recipe.cube_test)
        method.fit_prior(
            prepare.augment(
                crops, training.generator(record["seed"], "prior", number), **recipe.augmentation
            )
            for number, crops in enumerate(sweep)
        )
    with tempfile.TemporaryDirectory() as out:
        history = training.fit(
            method,
            source,
            recipe,
            out,
            seed=record["seed"],
            device=record["device"]["type"],
            until=1,
            checkpoint_seconds=float("inf"),
        )
    state = hashlib.sha256()
    for tensor in method.state_dict().values():
        state.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return {
        "curve": history.curve[0],
        "weights": state.hexdigest(),
        "code": history.settings["code"]["digest"],
        "data": {"fingerprint": frames.fingerprint, "content": content(frames.root)},
    }


def restamp(record: records.Record, now: dict, other_machine: bool) -> None:
    """Write the digest of the present code, and the fingerprint of its data, into the record."""
    replayed: dict = {"epochs": 1, "instead_of": record["code"]["digest"]}
    if other_machine:
        replayed["against"] = "the code before, on one other machine"
    old, new = record["training"]["source"]["fingerprint"], now["data"]["fingerprint"]
    if new != old:
        replayed["data_instead_of"] = old
        records.rename_data(record, old, new)
    record["code"] = {**record["code"], "digest": now["code"], "replayed": replayed}
    write_json(record.folder / "record.json", records.validated(record))


def compare_recipe(record: records.Record) -> None:
    plain = json.loads(json.dumps(vars(present_recipe(record))))
    compare("recipe", {name: plain.get(name) for name in record["recipe"]}, record["recipe"])


def present_recipe(record: records.Record) -> Recipe:
    return papers.recipe(
        record["method"], record.dataset_name, record["profile"], record["variant"]
    )


def open_frames(record: records.Record, root: Path | None) -> Dataset:
    """The training frames of the run."""
    source = record["training"]["source"]
    if source["kind"] != "stored" or record["training"]["choice"].startswith("best epoch"):
        raise HandPoseError(
            "its frames were rendered on the fly, or its weights chosen by validation: "
            "run it again instead"
        )
    if root is None and record["dataset"]["synthetic"]:
        size = "smoke" if record["profile"] == "smoke" else "laptop"
        root = paths.data() / "synthetic" / f"{source['dataset']}-{size}"
    named = {k: v for k, v in source["protocol"].items() if k in ("split", "subject", "view")}
    return datasets.open(source["dataset"], root, **named)


@cache
def content(root: Path) -> str:
    """A digest of all files of a data set but the one that says which code made it."""
    state = hashlib.sha256()
    for path in sorted(path for path in Path(root).rglob("*") if path.is_file()):
        if path.name != SYNTHETIC:
            state.update(path.relative_to(root).as_posix().encode() + b"\0")
            with open(path, "rb") as file:
                state.update(hashlib.file_digest(file, "sha256").digest())
    return state.hexdigest()


def remembered(record: records.Record, folder: Path) -> Path:
    """The file in which `--remember` keeps the first epoch of a run."""
    return folder / f"{record.key.replace('/', '__')}.json"


def compare(what: str, now: object, before: object) -> None:
    if now != before:
        raise HandPoseError(f"its {what} is no longer the same: {now} now, {before} before")


if __name__ == "__main__":
    sys.exit(main())
