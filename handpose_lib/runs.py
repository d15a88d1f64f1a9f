"""One training run from its frames to its record: the steps, and one function that does them all.

    run = Run("jgr_p2o", profile="smoke", seed=1)
    record = run.complete()                          # all of the steps below, one after the other

    data = run.open_data()                           # splits, and the source of training frames
    method = run.create_method(data)                 # the network, its weights drawn from the seed
    run.prepare_method(method, data)                 # what precedes the first update
    history = run.train(method, data)
    baselines = run.baselines(data)
    predicted = run.predict(method, data)            # (N, J, 3) mm, on the test frames
    read_outs = run.read_outs(method, data)          # the same by other ways of decoding
    record = run.record(method, history, data, predicted, baselines, read_outs)
    run.save(record, method, data, predicted, read_outs)    # record, predictions, weights

The training notebooks show these steps, and each adds what only its paper needs. An interrupted
run resumes where it stopped: `train` keeps a checkpoint in the folder of the run.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Any

import torch

from handpose_lib import (
    datasets,
    evaluation,
    openmp,
    papers,
    parameters,
    paths,
    prepare,
    synth,
    training,
)
from handpose_lib.datasets import dexycb, itop, msra, nyu, splits
from handpose_lib.datasets.base import Dataset
from handpose_lib.errors import HandPoseError
from handpose_lib.evaluation import metrics
from handpose_lib.frames import Crops
from handpose_lib.hand_detection import located
from handpose_lib.hand_detection.located import Located
from handpose_lib.papers.method import PROFILES, Method, Recipe
from handpose_lib.prepare.crop import CENTRES
from handpose_lib.results import records
from handpose_lib.training import ensemble, group
from handpose_lib.training.crop_cache import Packed

FRAMES = ("packed", "stored", "on_the_fly")
WEIGHTS = ("half", "full", "none")
LAST_EPOCH = "last_epoch"
"""The read-out of an ensemble over epochs that takes its last network alone."""
HELD_OUT = 8
"""The default held-out subject of MSRA's nine."""
VIEWS = {"nyu": nyu.VIEWS, "itop": tuple(itop.VIEWS), "dexycb": dexycb.VIEWS}
"""The cameras of the sets that have several."""
LARGEST_SEED = 2**63 - 1
"""What a generator of PyTorch takes."""


@dataclass(frozen=True)
class Device(parameters.Kind):
    """A device of this machine by its name, as `str`."""

    def accepts(self) -> str:
        return "auto, cpu, cuda, or one of several GPUs such as cuda:1"

    def convert(self, value: Any) -> str:
        name = value.strip() if isinstance(value, str) else ""
        gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
        apple = ["mps"] if torch.mps.is_available() else []
        here = ["auto", "cpu", *["cuda"][: len(gpus)], *gpus, *apple]
        if name not in here:
            raise parameters.Refused(f"this machine has {', '.join(here)}: write one of them")
        return name


def accepted(paper: str) -> dict[str, parameters.Kind]:
    """Return what each parameter of a run of this paper accepts, apart from the paper itself.

    Errors: `HandPoseError` for an unknown paper.
    """
    views = dict.fromkeys(view for views in VIEWS.values() for view in views)
    return {
        "profile": parameters.Choice(PROFILES),
        "dataset": parameters.Choice(papers.datasets(paper)),
        "root": parameters.Place("folder", none="its place in the data folder"),
        "subject": parameters.Choice(msra.SUBJECTS),
        "view": parameters.Choice(tuple(views), none="what papers use"),
        "split_by": parameters.Choice(dexycb.SPLITS_BY, none="the first of the paper"),
        "variant": parameters.Choice(tuple(papers.variants(paper))),
        "epochs": parameters.Whole(1, none="as the recipe says"),
        "seed": parameters.Whole(0, LARGEST_SEED),
        "device": Device(),
        "devices": parameters.Whole(1),
        "nodes": parameters.Whole(1),
        "frames": parameters.Choice(FRAMES, none="as the profile says"),
        "centre": parameters.Choice((*CENTRES, *located.NAMES), none="as the recipe says"),
        "centres": parameters.Place("folder", none="the set's own points"),
        "out": parameters.Place("new folder", none="below the build folder"),
        "weights": parameters.Choice(WEIGHTS),
    }


@dataclass(frozen=True)
class Data:
    """The data of a run: data sets for training, validation (or None) and test.

    centre    where cubes sit, as `prepare.batch` takes it
    source    yields the batches of the training
    """

    train: Dataset | Located
    validation: Dataset | Located | None
    test: Dataset | Located
    centre: str
    source: training.Stored | training.OnTheFly

    @property
    def known(self) -> Dataset | Located | training.Stored:
        """The training frames for baselines and priors; if they are stored, their cut windows."""
        return self.source if isinstance(self.source, training.Stored) else self.train

    def describe(self) -> str:
        """Return two lines: the test frames, and the frames of the training."""
        stored = isinstance(self.source, training.Stored)
        frames = f"{len(self.train):,} frames" if stored else "frames rendered on the fly"
        return f"{self.test.describe()}\ntraining on {frames}"


@dataclass(frozen=True)
class Run:
    """All settings of a training and its test.

    paper      a name of `papers.names()`; `variant`, a key of `papers.variants(paper)`
    profile    one of `papers.method.PROFILES`: how much the training may cost
    dataset    a name of `splits.NAMES`; `root` is its folder, None for the one in the data folder
    subject    held out of MSRA's nine; `view`: camera of a set with several, None for the papers'
    split_by   DexYCB's way to split, 'sequence' or 'subject'; None for the first of its paper
    epochs     None: those of the recipe
    seed       of weights, order of the frames, augmentation
    devices    processes of this computer that share each batch, each with a GPU or with some cores;
               `nodes` computers do so together, as `training.group` says. The parts of a batch are
               then a multiple of their number
    frames     'packed': from a cache that is made first, see `training.crop_cache`; 'stored': from
               the set's own files; 'on_the_fly': rendered in use. None: packed for real sets, on
               the fly for profile paper on the embedded set, else stored
    centre     where cubes sit: a centre of `prepare.batch` or of `located.NAMES`; None: as the
               recipe says, else what the set has. `centres`: a folder of V2V-PoseNet's centre
               files, which are refined centres
    out        folder of the run; None: below the build folder
    weights    'half' keeps the weights in 16 bits, 'full' in 32, 'none' does not keep them

    Every setting is checked as `accepted` says, and kept in the form of its kind.
    Errors: `HandPoseError` with one line for every setting that is refused, alone or beside the
    data set.
    """

    paper: str
    profile: str = "smoke"
    dataset: str = splits.EMBEDDED
    root: Path | str | None = None
    subject: int = HELD_OUT
    view: int | str | None = None
    split_by: str | None = None
    variant: str = "paper"
    epochs: int | None = None
    seed: int = 0
    device: str = "auto"
    devices: int = 1
    nodes: int = 1
    frames: str | None = None
    centre: str | None = None
    centres: Path | str | None = None
    out: Path | str | None = None
    weights: str = "half"

    def __post_init__(self) -> None:
        for name, value in parameters.check(vars(self), accepted(self.paper)).items():
            object.__setattr__(self, name, value)  # the form of its kind
        wrong = [
            f"parameter {name}: given {getattr(self, name)!r}; accepted with dataset"
            f" {self.dataset} is {accepts}"
            for name, accepts in self._misfits()
        ]
        if wrong:
            raise HandPoseError("\n".join(wrong))

    def _misfits(self) -> Iterator[tuple[str, str]]:
        """Yield each setting that does not fit the data set, and what is accepted with it."""
        name = "msra" if self.dataset == splits.EMBEDDED else self.dataset
        views = VIEWS.get(name, ())
        if self.view is not None and self.view not in views:
            several = ", ".join(map(str, views))
            yield "view", f"{several} or None: choose one" if views else "None: leave it out"
        if self.split_by is not None and name != "dexycb":
            yield "split_by", "None: leave it out, only dexycb has several ways to split"
        if self.subject != HELD_OUT and name != "msra":
            yield "subject", f"{HELD_OUT}: leave it out, only MSRA's test frames depend on it"
        if (
            self.centres is not None
            and "centres" not in signature(datasets.DATASETS[name]).parameters
        ):
            yield "centres", "None: leave it out, nobody has published such points of this set"
        if self.frames == "on_the_fly" and name not in synth.SETUPS:
            yield "frames", "stored: bodies are not rendered during a training"

    @cached_property
    def recipe(self) -> Recipe:
        """The paper's recipe for this data set, profile and variant."""
        recipe = papers.recipe(self.paper, self.dataset, self.profile, self.variant)
        parts = math.lcm(recipe.parts, self.devices * self.nodes)
        return replace(recipe, epochs=self.epochs or recipe.epochs, parts=parts)

    @property
    def folder(self) -> Path:
        """The folder with checkpoint, record, predictions and weights of the run."""
        if self.out:
            return Path(self.out)
        parts = [f"{self.variant}-{self.dataset}-s{self.seed}"]
        parts += [f"e{self.epochs}"] * bool(self.epochs)
        parts += [f"p{self.subject}"] * (self.subject != HELD_OUT)
        parts += [f"v{self.view}"] * (self.view is not None)
        parts += [self.split_by] if self.split_by else []
        parts += [self.centre] if self.centre else []
        return paths.build() / "runs" / self.paper / self.profile / "-".join(parts)

    def open_data(self) -> Data:
        """Open the splits of the data set and the source of training frames.

        A validation split is set aside if the recipe chooses among epochs. Centres that a trained
        network finds take the place of the stored points.
        Errors: see `splits.open_splits` and `located.by_name`.
        """
        wanted = self.centre or self.recipe.centre
        if wanted == "refined" and self.centres:
            wanted = "stored"
        locate = located.by_name(wanted) if wanted in located.NAMES else None
        train, validation, test, centre, persons = splits.open_splits(
            self.dataset,
            self.root,
            size="smoke" if self.profile == "smoke" else "laptop",
            subject=self.subject,
            view=self.view,
            split_by=self.split_by,
            validation=self.recipe.choose_epoch,
            centre=None if locate else wanted,
            centres=self.centres,
            rotated_copies=self.recipe.rotated_copies,
        )
        setup = train.name

        def found(part: Dataset) -> Dataset | Located:
            return Located(part, locate, str(wanted)) if locate else part

        train, test = found(train), found(test)
        validation = None if validation is None else found(validation)
        centre = "stored" if locate else centre
        embedded = "on_the_fly" if self.profile == "paper" else "stored"
        kind = self.frames or (embedded if self.dataset == splits.EMBEDDED else "packed")
        if kind == "packed":
            source = Packed(train, self.recipe.cube_train, centre, progress=True)
        elif kind == "stored":
            source = training.Stored(train, self.recipe.cube_train, centre)
        else:
            source = training.OnTheFly(
                "wide",
                setup=setup,
                frames=self.recipe.epoch_frames or len(train),
                cube=self.recipe.cube_train,
                centre=str(wanted) if locate else centre,
                locate=locate,
                subjects=persons,
            )
        return Data(train, validation, test, centre, source)

    def create_method(self, data: Data) -> Method:
        """Create the network, its first weights drawn from the run's seed."""
        assert data.test.skeleton is not None  # splits have labels
        torch.manual_seed(self.seed)
        return papers.create(
            self.paper, data.test.skeleton.name, self.variant, **self.recipe.network
        )

    def prepare_method(self, method: Method, data: Data) -> None:
        """Fit what the method needs before the first update, on the training frames."""
        method.before_training(self.augmented(data))

    def augmented(self, data: Data) -> Iterator[Crops]:
        """Yield every training frame once, in batches of crops augmented as in the training."""
        sweep = evaluation.sweep(data.known, cube=self.recipe.cube_test, centre=data.centre)
        for number, crops in enumerate(sweep):
            random = training.generator(self.seed, "prior", number)
            yield prepare.augment(crops, random, **self.recipe.augmentation)

    def train(self, method: Method, data: Data, **options: Any) -> training.History:
        """Train the method in place; `options` are those of `training.fit` (progress, until, …)."""
        openmp.warn_if_slow("the training")
        return training.fit(
            method,
            data.source,
            self.recipe,
            self.folder,
            seed=self.seed,
            device=self.device,
            validation=data.validation,
            devices=self.devices,
            nodes=self.nodes,
            **options,
        )

    def baselines(self, data: Data) -> dict[str, float]:
        """Return the errors in mm of the mean pose and of nearest neighbours on the test frames."""
        return evaluation.baselines(
            data.known,
            data.test,
            cube=self.recipe.cube_test,
            centre=data.centre,
            device=self.device,
        )

    def predict(self, method: Method, data: Data) -> torch.Tensor:
        """Return the predicted joints (N, J, 3) of the test frames, mm in the camera frame.

        If the recipe asks for an ensemble, they are the mean over the networks of all epochs.
        """
        cube, centre = self.recipe.cube_test, data.centre
        if self.recipe.ensemble:
            return ensemble.predict(method, self.folder, data.test, cube=cube, centre=centre)
        return evaluation.predict(method, data.test, cube=cube, centre=centre)

    def read_outs(self, method: Method, data: Data) -> dict[str, torch.Tensor]:
        """Return what other ways to decode the same networks find: name → joints as in `predict`.

        They are those of the method, or of an ensemble its last network alone.
        """
        cube, centre = self.recipe.cube_test, data.centre
        if self.recipe.ensemble:
            return {LAST_EPOCH: evaluation.predict(method, data.test, cube=cube, centre=centre)}
        if not method.read_outs:
            return {}
        return evaluation.decoded(method, data.test, method.read_outs, cube=cube, centre=centre)

    def throughput(self, method: Method, data: Data) -> dict[str, dict]:
        """Return the throughput of the network in batches of 1 and of 32 frames."""
        frames = data.test.frames(i % len(data.test) for i in range(32))
        few = prepare.batch(frames, self.recipe.cube_test, data.centre)
        few = few.to(next(method.parameters()).device)
        return {
            f"batch_{n}": evaluation.throughput(method, few.index(slice(0, n))) for n in (1, 32)
        }

    def record(
        self,
        method: Method,
        history: training.History,
        data: Data,
        predicted: torch.Tensor,
        baselines: dict[str, float],
        read_outs: Mapping[str, torch.Tensor] | None = None,
        **measures: Any,
    ) -> records.Record:
        """Return the record of the run with the measures of `predicted`, not yet written.

        `read_outs`: what other decodings found. `measures`: further measures of one paper, kept
        beside those of `evaluation.score`.
        """
        if self.recipe.ensemble:
            history = replace(history, choice=f"mean of {self.recipe.epochs} epochs")
        true = data.test.joints()
        errors = {
            name: metrics.mean_joint_error(found, true).item()
            for name, found in (read_outs or {}).items()
        }
        others = {"read_outs_mm": errors} if errors else {}
        return records.new(
            method=method,
            history=history,
            recipe=self.recipe,
            test=data.test,
            centre=data.centre,
            metrics=evaluation.score(predicted, true) | others | measures,
            baselines=baselines,
            inference=self.throughput(method, data),
        )

    def save(
        self,
        record: records.Record,
        method: Method,
        data: Data,
        predicted: torch.Tensor,
        read_outs: Mapping[str, torch.Tensor] | None = None,
    ) -> records.Record:
        """Write record, predictions, labels and, if they are kept, weights into the folder.

        `read_outs`: what other decodings found, kept beside `predicted`. Of several computers that
        train together, only the first writes.
        """
        if group.node():
            return record
        return records.save(
            record,
            self.folder,
            predicted=predicted,
            read_outs=read_outs,
            joints=data.test.joints(),
            ids=[data.test[i].id for i in range(len(data.test))],
            weights=None if self.weights == "none" else method,
            half=self.weights == "half",
        )

    def complete(self, **options: Any) -> records.Record:
        """Do all steps and return the saved record; `options` are those of `training.fit`."""
        data = self.open_data()
        method = self.create_method(data)
        self.prepare_method(method, data)
        history = self.train(method, data, **options)
        predicted = self.predict(method, data)
        others = self.read_outs(method, data)
        record = self.record(method, history, data, predicted, self.baselines(data), others)
        return self.save(record, method, data, predicted, others)
