"""Trains the first epoch of recorded runs again, to see whether code that changed still does the same.

    python pipeline/replay.py                                        # every record that is marked as of changed code
    python pipeline/replay.py book/records/jgr_p2o/laptop/paper-synthetic-s0

A record is marked in every table once a module that its run used has changed, though most changes (an option added, a
function renamed) leave its numbers as they were. The first epoch costs a tenth of the run and passes through all that
decides it: frames, crops, augmentation, network, loss, optimiser. Where it ends with the recorded losses, bit for bit,
and the recorded predictions still score as recorded, the record takes the digest of the present code, and says under
`code.replayed` that it was done. Otherwise the mark stays, and the run has to be made again. Bits only agree on
a machine like the one of the run.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without installation

from handpose_lib import datasets, evaluation, papers, paths, prepare, records, training  # noqa: E402
from handpose_lib.errors import HandPoseError  # noqa: E402
from handpose_lib.storage import write_json  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="folders of records; all that are marked without one")
    parser.add_argument("--root", type=Path, help="folder of the data set; its place in the data folder without it")
    chosen = parser.parse_args()
    failed = 0
    for record in map(records.load, chosen.folders) if chosen.folders else filter(records.is_stale, records.load_all()):
        try:
            replay(record, chosen.root)
            print(f"{record.key}: the same")
        except HandPoseError as error:
            failed += 1
            print(f"{record.key}: {error}", file=sys.stderr)
    return int(failed > 0)


def replay(record: records.Record, root: Path | None = None) -> None:
    """Restamp the record with the present code's digest. Errors: its first epoch, recipe or score is no longer the same."""
    recipe = papers.recipe(record["method"], dataset_name(record), record["profile"], record["variant"])
    plain = json.loads(json.dumps(vars(recipe)))
    compared("recipe", {name: plain.get(name) for name in record["recipe"]}, record["recipe"])
    scored = evaluation.score(*records.joints(record))["mean_joint_error_mm"]
    if abs(scored - record.error_mm) > 0.05:  # the files are rounded
        raise HandPoseError(f"its predictions score {scored:.2f} mm, {record.error_mm:.2f} are recorded")
    source = opened(record, root, recipe)
    torch.set_num_threads(record["device"]["threads"])
    torch.manual_seed(record["seed"])
    method = papers.create(record["method"], record["protocol"]["joints"], record["variant"], **recipe.network)
    if hasattr(method, "fit_prior"):
        sweep = evaluation.sweep(source, cube=recipe.cube_test)
        method.fit_prior(prepare.augment(crops, training.generator(record["seed"], "prior", number), **recipe.augmentation)
                         for number, crops in enumerate(sweep))
    with tempfile.TemporaryDirectory() as out:
        history = training.fit(method, source, recipe, out, seed=record["seed"], device=record["device"]["type"], until=1,
                               checkpoint_seconds=float("inf"))
    compared("first epoch", history.curve[0], record["curve"][0])
    record["code"] = {**history.settings["code"], "replayed": {"epochs": 1, "instead_of": record["code"]["digest"]}}
    write_json(record.folder / "record.json", records.validated(record))


def opened(record, root, recipe) -> training.Stored:
    """The frames of the run. Errors: rendered on the fly, chosen by validation, or another data set."""
    told = record["training"]["source"]
    if told["kind"] != "stored" or recipe.schedule == "exponential":
        raise HandPoseError("its frames were rendered on the fly, or its weights chosen on others: run it again instead")
    if root is None and record["dataset"]["synthetic"]:
        root = paths.data() / f"synthetic/{told['dataset']}-{'smoke' if record['profile'] == 'smoke' else 'laptop'}"
    options = {name: value for name, value in told["protocol"].items() if name in ("split", "subject", "view")}
    frames = datasets.open(told["dataset"], root, **options)
    compared("data set", frames.fingerprint, told["fingerprint"])
    return training.Stored(frames, recipe.cube_train, told["centre"])


def dataset_name(record) -> str:
    """What the run's `dataset` parameter was: the embedded set is called 'synthetic'."""
    name = record["dataset"]["name"]
    return "synthetic" if record["dataset"]["synthetic"] and name == "msra" else name


def compared(what: str, now, recorded) -> None:
    if now != recorded:
        raise HandPoseError(f"its {what} is no longer the same: {now} now, {recorded} recorded")


if __name__ == "__main__":
    sys.exit(main())
