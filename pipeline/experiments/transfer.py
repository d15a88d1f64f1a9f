"""Train one small network with one property of the synthetic frames changed at a time.

The question is which property of the training frames narrows the gap to real frames.

    python pipeline/experiments/transfer.py                            # all missing trainings
    python pipeline/experiments/transfer.py --only views no_forearm    # some of them
    python pipeline/experiments/transfer.py --frames 320 --work trial --out trial   # a quick trial

A training takes about two minutes on one CPU core. The record is written once none is missing.

All trainings have the same network, recipe and number of frames, which are rendered during the
training. They are measured on unlabelled frames of an SR305 (`handpose_lib.evaluation.label_free`)
and on rendered frames of a held-out person. The base is trained on WIDE_VIEW, as the other networks
of the book, with three seeds; their spread is the unit of all differences. `SWITCHES` set fields of
the distribution to their values in WIDE, or to zero, or change the crops or the augmentation.

A switch **promises** something if it is better than the base in at least one of the three measures
by more than the spread of the base's seeds, and in none worse by as much. Among so many switches,
some pass by chance. A switch that passes is therefore trained again with other seeds. It **helps**
if the mean of these trainings passes the same test; the first training does not count here.
`together` combines all switches that help, the best one of each factor; `wide` is all of WIDE. The
weights of the setting that helps most are kept.

A finished training is not repeated, and an interrupted one is resumed. Both are in the work folder,
not in that of the record.
"""

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from handpose_lib import datasets, papers, paths, prepare, skeleton, synth, training
from handpose_lib.datasets.base import Dataset
from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.evaluation import label_free, plausibility
from handpose_lib.frames import DepthFrame
from handpose_lib.io import provenance, storage
from handpose_lib.papers.method import Method, Recipe
from handpose_lib.results import pretrained, records

SCRIPT = "pipeline/experiments/transfer.py"
METHOD, VARIANT, JOINTS, SETUP = "jgr_p2o", "small", "msra21", "msra"
BASE, WIDE = synth.WIDE_VIEW, synth.WIDE
FRAMES, EPOCHS, BATCH, SIZE = 7_200, 10, 8, 48
"""Of a training: number of frames, of epochs and of frames per update; side of a crop in pixels."""
SUBJECT, SEED, HELD_OUT = 8, 21, 96
"""Person, seed and number per distribution of the rendered frames for the test."""
AGAIN = (1, 2)
"""Seeds with which a switch that promises something is trained again."""
MEASURES = {"on_hand": 1, "median_to_surface_mm": -1, "covered": 1}
"""Measures on real frames; 1 if larger is better, −1 if smaller is better."""
DECIMALS = {"on_hand": 3, "median_to_surface_mm": 1, "covered": 3}


@dataclass(frozen=True)
class Setting:
    """How a training differs from the base.

    fields          of the distribution
    source          arguments of `training.OnTheFly`
    augmentation    arguments of `prepare.augment`

    At most one setting of each `factor` becomes part of `together`.
    """

    factor: str
    text: str
    fields: dict = field(default_factory=dict)
    source: dict = field(default_factory=dict)
    augmentation: dict = field(default_factory=dict)
    seed: int = 0

    @property
    def distribution(self) -> synth.Distribution:
        """The distribution of the training frames."""
        return replace(BASE, **self.fields)


def of_wide(*names: str) -> dict[str, Any]:
    """Return fields of the distribution with their values in WIDE."""
    return {name: getattr(WIDE, name) for name in names}


BASES = {
    "base": Setting("base", "what the book's networks have seen"),
    "base_1": Setting("base", "the same, another seed", seed=1),
    "base_2": Setting("base", "the same, a third seed", seed=2),
}
SWITCHES = {
    "views": Setting(
        "views",
        "seen from everywhere, also from behind and along the fingers",
        of_wide("in_plane", "yaw", "pitch"),
    ),
    "gestures": Setting(
        "poses", "gestures alone, no poses in between", {"poses": {"gesture": 1.0}}
    ),
    "long_forearm": Setting("forearm", "forearms of any length", of_wide("forearm_length")),
    "no_forearm": Setting("forearm", "no forearm", {"forearm": 0.0}),
    "surroundings": Setting(
        "surroundings",
        "walls, tables, persons, things in the hand and near it",
        of_wide("wall", "person", "table", "held", "near", "beside"),
    ),
    "damage": Setting(
        "holes", "lost fingers, smeared edges, coarse steps", of_wide("missing", "smear", "coarse")
    ),
    "left": Setting("handedness", "left hands as well", of_wide("left")),
    "no_sensor": Setting(
        "sensor", "no noise of a sensor and no holes", {"sensors": {"ideal": 1.0}, "holes": 0.0}
    ),
    "strong_sensor": Setting("sensor", "a sensor's noise of any strength", of_wide("strength")),
    "mass": Setting(
        "crops",
        "crops about the centre of mass of what is near, not about a hand that a network found",
        source={"centre": "mass"},
    ),
    "no_augmentation": Setting(
        "augmentation",
        "no augmentation",
        augmentation={"rotation": (0.0, 0.0), "scale": (1.0, 1.0), "translation": 0.0},
    ),
    "wide_augmentation": Setting(
        "augmentation",
        "crops turned all the way round, and more of other sizes",
        augmentation={"rotation": (-torch.pi, torch.pi), "scale": (0.85, 1.15)},
    ),
}
WHOLE = Setting(
    "wide",
    "all of WIDE",
    {name: value for name, value in vars(WIDE).items() if value != getattr(BASE, name)},
)
TOGETHER = "together"


def settings(said: dict[str, Any] | None = None) -> dict[str, Setting]:
    """Return all trainings by name.

    `said`: what `summary` returned for those so far. It may require more: further seeds of the
    switches that promise something, and `together` if two or more help.
    """
    every = {**BASES, **SWITCHES, "wide": WHOLE}
    if not said:
        return every
    if len(said["together"]) > 1:
        parts = [SWITCHES[name] for name in said["together"]]
        fields, source, augmentation = (
            {name: value for part in parts for name, value in getattr(part, kind).items()}
            for kind in ("fields", "source", "augmentation")
        )
        every[TOGETHER] = Setting(TOGETHER, "all that help", fields, source, augmentation)
    return every | {
        name: replace(every[first], seed=seed)
        for first in said["promises"]
        for name, seed in zip(further(first), AGAIN)
    }


def further(name: str) -> list[str]:
    """Return the names of a setting's trainings with further seeds."""
    return [f"{name}_{seed}" for seed in AGAIN]


# --- One training -------------------------------------------------------------


def recipe(setting: Setting, frames: int) -> Recipe:
    """Return the laptop recipe of the paper's small network, with fewer and smaller crops."""
    known = papers.recipe(METHOD, "synthetic", "laptop", VARIANT)
    return replace(
        known,
        batch=BATCH,
        epochs=EPOCHS,
        epoch_frames=frames // EPOCHS,
        parts=1,
        network={**known.network, "size": SIZE},
        augmentation={**known.augmentation, **setting.augmentation},
    )


def start(setting: Setting, frames: int) -> tuple[Method, training.OnTheFly, Recipe]:
    """Return an untrained network, its source of frames, and its recipe."""
    chosen = recipe(setting, frames)
    torch.manual_seed(setting.seed)
    network = papers.create(METHOD, JOINTS, VARIANT, **chosen.network)
    source = training.OnTheFly(
        setting.distribution,
        frames=frames,
        cube=chosen.cube_train,
        setup=SETUP,
        **{"centre": "stored", **setting.source},
    )
    return network, source, chosen


def decided_by(setting: Setting, frames: int, real: Dataset) -> dict[str, Any]:
    """Return all that determines a result, as plain JSON values.

    `real`: the data set of unlabelled frames.
    """
    known = {
        "fields": setting.fields,
        "source": setting.source,
        "augmentation": setting.augmentation,
        "seed": setting.seed,
        "frames": frames,
        "recipe": vars(recipe(setting, frames)),
        "real": real.fingerprint,
        "code": code(),
    }
    return json.loads(json.dumps(known))


def code() -> str:
    """Return a digest of the code that a training uses."""
    return provenance.digest(
        provenance.closure([f"handpose_lib.papers.{METHOD}", "handpose_lib.training"])
    )


def trained(name: str, setting: Setting, frames: int, work: Path, real: Dataset) -> dict[str, Any]:
    """Return the result of a training, from the folder `work`/`name` if it is there.

    If the result was measured by an earlier version of this script, the measures are renewed.
    """
    folder = work / name
    path, weights = folder / "result.json", folder / "weights.safetensors"
    network, source, chosen = start(setting, frames)
    if finished(name, setting, frames, work, real):
        result = storage.read_json(path)
        if result["judged_by"] == records.code_digest([SCRIPT]):
            return result
        network.eval().load_state_dict(storage.read_tensors(weights))
    else:
        begun = time.process_time()
        history = training.fit(network, source, chosen, folder, seed=setting.seed, device="cpu")
        storage.write_tensors(weights, network.state_dict())
        result = {
            "decided_by": decided_by(setting, frames, real),
            "curve": history.curve,
            "device": history.device,
            "cpu_seconds": round(time.process_time() - begun, 1),
        }
        shutil.rmtree(folder / "checkpoint")
    result |= {
        "factor": setting.factor,
        "text": setting.text,
        "judged_by": records.code_digest([SCRIPT]),
        "real": judged(network, real, chosen.cube_test),
        "synthetic": at_home(network, chosen.cube_test),
    }
    storage.write_json(path, result)
    return storage.read_json(path)


def finished(name: str, setting: Setting, frames: int, work: Path, real: Dataset) -> bool:
    """Return whether this training is finished, with these settings and the present code."""
    path = work / name / "result.json"
    wanted = decided_by(setting, frames, real)
    return path.exists() and storage.read_json(path)["decided_by"] == wanted


# --- Its measures -------------------------------------------------------------


def judged(network: Method, real: Dataset, cube: float) -> dict[str, Any]:
    """Return the joints that a network predicts on real frames, and their measures."""
    frames = real.frames(range(len(real)))
    joints, centre = label_free.predict(network, frames, cube)
    return measured(joints, frames, centre, cube)


def measured(
    joints: torch.Tensor, frames: Sequence[DepthFrame], centre: torch.Tensor, cube: float
) -> dict[str, Any]:
    """Return joints (N, J, 3) mm as they are recorded, rounded to 0.1 mm, and their measures."""
    kept = [text(hand.flatten(), 1) for hand in joints]
    joints = hands(kept)
    seen = label_free.measures(joints, frames, centre, cube, skeleton.get(JOINTS))
    lengths = plausibility.bone_lengths(joints, skeleton.get(JOINTS))
    return {
        "joints_mm": kept,
        **_measures(seen),
        "bone_length_variation": round((lengths.std(0) / lengths.mean(0)).mean().item(), 4),
    }


def _measures(seen: Mapping[str, torch.Tensor]) -> dict[str, str]:
    values = {
        "on_hand": seen["on_hand"],
        "median_to_surface_mm": seen["to_surface"].median(1).values,
        "covered": seen["covered"],
    }
    return {name: text(value, DECIMALS[name]) for name, value in values.items()}


def at_home(network: Method, cube: float) -> dict[str, dict[str, str]]:
    """Return error and measures on rendered frames of the held-out person, by distribution.

    The crops are centred at the reference points of the frames.
    """
    found = {}
    for name in ("wide_view", "wide"):
        rendered, frames = held_out(name)
        joints, centre = label_free.predict(network, frames, cube, "stored", 1)
        found[name] = {
            "error_mm": text((joints - rendered.joints).norm(dim=-1).mean(1), 1),
            **_measures(label_free.measures(joints, frames, centre, cube, skeleton.get(JOINTS))),
        }
    return found


@cache
def held_out(name: str) -> tuple[synth.Rendered, list[DepthFrame]]:
    """Return the rendered frames for the test, in one batch and one by one."""
    rendered = synth.frames(range(HELD_OUT), SEED, SETUP, name, subjects=[SUBJECT])
    return rendered, [rendered.frame(row) for row in range(len(rendered))]


def references(base: Mapping[str, Any], real: Dataset, cube: float) -> dict[str, Any]:
    """Return the measures of other joints, for comparison.

    true             the true joints of the rendered frames, by distribution
    mean_pose        the mean of the training poses, at the hand that the outline finds
    another_frame    the base's prediction of another real frame, moved to this one
    kept             predictions of the best of the paper's networks that come with the book
    """
    known = pretrained.load(METHOD)
    found: dict[str, Any] = {
        "true": {},
        "kept": {
            "record": known.record.key,
            "weights": sha(known.record.folder / "weights.safetensors"),
            **judged(known.network, real, known.record["protocol"]["cube"]),
        },
    }
    for name in ("wide_view", "wide"):
        rendered, frames = held_out(name)
        found["true"][name] = _measures(
            label_free.measures(
                rendered.joints, frames, rendered.centre, cube, skeleton.get(JOINTS)
            )
        )
    frames = real.frames(range(len(real)))
    poses = synth.frames(range(512), 0, SETUP, BASE).joints
    joints = hands(base["real"]["joints_mm"])
    middle = joints.mean(1, keepdim=True)
    centre = outlines(frames, cube)
    found["mean_pose"] = measured(
        centre[:, None] + (poses - poses.mean(1, keepdim=True)).mean(0), frames, centre, cube
    )
    found["another_frame"] = measured(
        (joints - middle).roll(len(joints) // 2, 0) + middle, frames, centre, cube
    )
    return found


def outlines(frames: list[DepthFrame], cube: float) -> torch.Tensor:
    """Return the centre (N, 3) mm of the hand in each frame, found by its outline."""
    return prepare.batch(frames, cube, "outline").centre


# --- What follows from all of them --------------------------------------------


def summary(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return means, steps and the settings that help, from the measures of each frame.

    apart          spread of the base's seeds, largest minus smallest; at least one joint of one
                   frame, or the last recorded digit
    votes          the trainings that count for a setting: those with further seeds, if there are
                   any
    steps          by how many multiples of `apart` their mean is better than that of the base
    first_steps    the same for the first training alone
    """
    means = {
        name: {measure: numbers(result["real"][measure]).mean().item() for measure in MEASURES}
        for name, result in results.items()
    }
    base: dict[str, float] = {}
    apart: dict[str, float] = {}
    for measure in MEASURES:
        seeds = [means[name][measure] for name in BASES]
        smallest = (
            10.0 ** -DECIMALS[measure]
            if measure != "on_hand"
            else 1 / (len(skeleton.get(JOINTS)) * len(results["base"]["real"]["joints_mm"]))
        )
        base[measure], apart[measure] = mean(seeds), max(max(seeds) - min(seeds), smallest)

    def steps(trainings: list[str]) -> dict[str, float]:
        return {
            measure: (
                sign
                * (mean([means[name][measure] for name in trainings]) - base[measure])
                / apart[measure]
            )
            for measure, sign in MEASURES.items()
        }

    firsts = [
        name
        for name in results
        if name not in BASES and not any(name in further(other) for other in results)
    ]
    votes = {
        name: [other for other in further(name) if other in results] or [name] for name in firsts
    }
    first_steps = {name: steps([name]) for name in firsts}
    voted = {name: steps(votes[name]) for name in firsts}
    promises = [name for name in firsts if passes(first_steps[name])]
    helps = [name for name in promises if votes[name] == further(name) and passes(voted[name])]
    most = sorted(helps, key=lambda name: -sum(voted[name].values()))
    factors: dict[str, str] = {}
    for name in most:
        if name in SWITCHES:
            factors.setdefault(SWITCHES[name].factor, name)
    return {
        "means": means,
        "base": base,
        "apart": apart,
        "votes": votes,
        "first_steps": first_steps,
        "steps": voted,
        "promises": promises,
        "helps": helps,
        "together": [name for name in SWITCHES if name in factors.values()],
        "best": most[0] if most else None,
    }


def passes(steps: Mapping[str, float]) -> bool:
    """Return whether at least one measure is better and none worse, by more than the spread."""
    return max(steps.values()) > 1 and min(steps.values()) >= -1


def mean(values: Sequence[float]) -> float:
    """Return the mean of some numbers."""
    return sum(values) / len(values)


def assembled(
    results: Mapping[str, Mapping[str, Any]],
    frames: int,
    real: Dataset,
    digests: Mapping[str, str],
) -> records.Record:
    """Return the record of all trainings, not yet written."""
    chosen = recipe(BASES["base"], frames)
    first = results["base"]
    return records.create(
        "transfer",
        [SCRIPT],
        method=METHOD,
        variant=VARIANT,
        frames=frames,
        recipe=json.loads(json.dumps(vars(chosen))),
        distribution="wide_view",
        synthetic={"subject": SUBJECT, "seed": SEED, "protocol": SETUP, "frames": HELD_OUT},
        real={
            "data": real.name,
            "fingerprint": real.fingerprint,
            "frames": len(real),
            "ids": [frame.id for frame in real.frames(range(len(real)))],
            "near_pixels": label_free.NEAR,
            "cover_mm": label_free.COVER,
        },
        references=references(first, real, chosen.cube_test),
        settings={
            name: {
                **{
                    key: value
                    for key, value in result.items()
                    if key not in ("decided_by", "device", "judged_by")
                },
                **{
                    key: result["decided_by"][key]
                    for key in ("fields", "source", "augmentation", "seed")
                },
            }
            for name, result in results.items()
        },
        summary=summary(results),
        weights=digests,
        device=first["device"],
        cpu_seconds=round(sum(result["cpu_seconds"] for result in results.values()), 1),
    )


def check(record: records.Record, before: dict | None = None) -> dict:
    """Check that the present code computes what the record states; return what was repeated.

    Compared are the losses of the base's first epoch, all measures on real frames, the predictions
    of the kept weights, and the summary.
    Errors: anything that differs. The losses agree only on a machine like that of the trainings; on
    another one, `before` holds those of the code before a change.
    """
    real = datasets.open("sr305")
    same("frames", real.fingerprint, record["real"]["fingerprint"])
    torch.set_num_threads(record["device"]["threads"])
    frames, cube = real.frames(range(len(real))), record["recipe"]["cube_test"]
    centre = outlines(frames, cube)
    for name, known in {
        **record["settings"],
        **{
            name: {"real": record["references"][name]}
            for name in ("mean_pose", "another_frame", "kept")
        },
    }.items():
        now = measured(hands(known["real"]["joints_mm"]), frames, centre, cube)
        same(f"{name}: measures", now, {key: known["real"][key] for key in now})
    for name in record["weights"]:
        network = start(settings()["base"], record["frames"])[0].eval()
        network.load_state_dict(storage.read_tensors(record.folder / "weights.safetensors"))
        same(f"{name}: answers", judged(network, real, cube), record["settings"][name]["real"])
    same("summary", json.loads(json.dumps(summary(record["settings"]))), record["summary"])
    plain = json.loads(json.dumps(vars(recipe(BASES["base"], record["frames"]))))
    same("recipe", {name: plain.get(name) for name in record["recipe"]}, record["recipe"])
    recorded = record["settings"]["base"]["curve"][0] if before is None else before
    same("base: first losses", first_losses(record["frames"]), recorded)
    return {"epochs": 1}


def first_losses(frames: int) -> dict:
    """Train the first epoch of the base and return its entry of the curve."""
    network, source, chosen = start(BASES["base"], frames)
    with tempfile.TemporaryDirectory() as out:
        history = training.fit(
            network,
            source,
            chosen,
            out,
            seed=0,
            device="cpu",
            until=1,
            checkpoint_seconds=float("inf"),
        )
    return history.curve[0]


def same(what: str, now: object, recorded: object) -> None:
    """Errors: `HandPoseError` if the two differ."""
    if now != recorded:
        raise HandPoseError(f"{what}: no longer those of the record: train again")


def sha(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def text(values: torch.Tensor, decimals: int) -> str:
    """Return numbers in one line."""
    return " ".join(f"{value:.{decimals}f}" for value in values.tolist())


def numbers(line: str) -> torch.Tensor:
    """Return the numbers in such a line."""
    return torch.tensor([float(value) for value in line.split()], dtype=torch.float64)


def hands(lines: list[str]) -> torch.Tensor:
    """Return joints (N, J, 3) mm from one line per frame."""
    return torch.stack([numbers(line).float().unflatten(0, (-1, 3)) for line in lines])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        help=f"only these of the first trainings: {', '.join(settings())}",
    )
    parser.add_argument("--frames", type=int, default=FRAMES, help="rendered frames of a training")
    parser.add_argument(
        "--work", type=Path, help="folder of the trainings; default: below the build folder"
    )
    parser.add_argument(
        "--out", type=Path, help="folder of the record; default: the book's records"
    )
    chosen = parser.parse_args(arguments)
    out = chosen.out or paths.records() / "transfer"
    work = chosen.work or paths.build() / "transfer"
    if chosen.frames < EPOCHS * BATCH:
        raise HandPoseError(f"{chosen.frames} frames: accepted are at least {EPOCHS * BATCH}")
    for name in chosen.only or ():
        one_of("setting", name, settings())
    real = datasets.open("sr305")

    def result(name: str, setting: Setting) -> dict[str, Any]:
        found = trained(name, setting, chosen.frames, work, real)
        print(
            f"{name}: {numbers(found['real']['on_hand']).mean():.3f} on the hand,"
            f" {found['cpu_seconds']:.0f} s of the processor"
        )
        return found

    for name in chosen.only or ():
        result(name, settings()[name])
    missing = [
        name
        for name, setting in settings().items()
        if not finished(name, setting, chosen.frames, work, real)
    ]
    if chosen.only and missing:
        print(f"no record yet: {', '.join(missing)} missing")
        return 0
    results: dict[str, dict[str, Any]] = {}
    wanted, said = settings(), {}
    while wanted:
        results |= {name: result(name, setting) for name, setting in wanted.items()}
        said = summary(results)
        wanted = {name: each for name, each in settings(said).items() if name not in results}
    digests = {}
    (out / "weights.safetensors").unlink(missing_ok=True)
    if said["best"]:
        kept = said["votes"][said["best"]][0]
        storage.write_tensors(
            out / "weights.safetensors", storage.read_tensors(work / kept / "weights.safetensors")
        )
        digests = {kept: sha(out / "weights.safetensors")}
    records.write(assembled(results, chosen.frames, real, digests), out)
    print(
        f"{len(results)} trainings; together: {', '.join(said['together']) or 'none helps'}; best:"
        f" {said['best'] or 'the base'}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
