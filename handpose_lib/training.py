"""Training any method, so that it can be killed at any moment and continue as if nothing had been.

    recipe = papers.recipe("jgr_p2o", dataset="synthetic", profile="laptop")
    source = Stored(train, cube=recipe.cube_train)              # frames of a data set, or
    source = OnTheFly("wide", frames=20_000, cube=recipe.cube_train)    # rendered where they are used
    history = fit(method, source, recipe, out, seed=0)

Nothing random is remembered between two updates: batch order, augmentation, rendered frames and
dropout are functions of (seed, step). So a checkpoint holds what the optimiser changes, and nothing
else, and a continued training gives the same bits on a CPU with the same number of threads.
"""

import copy
import hashlib
import json
import logging
import math
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm.auto import tqdm

from . import evaluation, prepare, provenance
from .errors import HandPoseError, one_of
from .frames import Crops
from .prepare.crop import MARGIN
from .storage import Checkpoints, write_tensors

PRECISIONS = ("32-true", "bf16-mixed")
MEMORY = 2 << 30
"""Bytes of cut windows that a `Stored` source keeps, unless told otherwise: 2 GiB."""


@dataclass
class History:
    """What a training leaves beside its weights.

    `curve` has one entry per epoch: `epoch`, `step`, `rate`, `error_mm` on the augmented training
    frames, each term of the loss (means over the updates), and `validation_mm` where there is a
    validation set. `seconds` spent in the loop, of which `waiting` for frames; `choice` is the rule by
    which the weights were chosen ('last', 'average', 'best epoch on validation') and `epoch` theirs.
    """

    curve: list[dict]
    steps: int
    frames: int
    seconds: float
    waiting: float
    peak_memory: int | None
    device: dict
    settings: dict
    choice: str
    epoch: int

    @property
    def frames_per_second(self) -> float:
        return self.frames / max(self.seconds, 1e-9)


def fit(method, source, recipe, out, *, seed=0, device="auto", epochs=None, validation=None, precision=None,
        progress=True, checkpoint_seconds=60.0, until=None) -> History:
    """Train `method` in place on `source` as `recipe` says; `out`/checkpoint is where it continues from.

    `epochs` and `precision` override the recipe; `until` an epoch, the training is left after it as if
    interrupted there. `validation` is a data set whose mean joint error ends every epoch; with the
    schedule 'exponential' the best epoch's weights are kept, so that it must be carved from the training
    subjects: choosing by the test split would be training on it. Otherwise the last weights count, or
    their running average where the recipe asks for one.

    A checkpoint of the same settings but other code is not continued (a warning says so); one of
    other settings is an error, as is a loss that is no longer a number.
    """
    recipe = replace(recipe, epochs=epochs or recipe.epochs, precision=precision or recipe.precision)
    per_epoch = math.ceil((recipe.epoch_frames or len(source)) / recipe.batch)
    steps = per_epoch * recipe.epochs
    last = min(steps, per_epoch * (until or recipe.epochs))
    place = evaluation.find_device(device)
    fabric = _fabric(place, one_of("precision", recipe.precision, PRECISIONS))
    optimiser = _optimiser(_channels_last(method), recipe)
    parts = _Parts(method, recipe, fabric)
    fabric_optimiser = fabric.setup_optimizers(optimiser)

    run = _Run(method, optimiser, recipe, place, Path(out))
    checkpoints = Checkpoints(Path(out) / "checkpoint")
    settings = _settings(method, source, recipe, seed, validation)
    run.restore(checkpoints.latest(), settings)

    saved = time.perf_counter()
    bar = tqdm(total=steps, initial=run.step, desc=f"train {method.name}", unit="step", disable=not progress)
    batches = _batches(source, range(run.step, last), recipe.batch, seed, place)
    method.train()
    with bar, parts:
        while run.step < last:
            crops = run.next(batches)
            crops = prepare.augment(crops, generator(seed, "augment", run.step), **recipe.augmentation)
            torch.manual_seed(mix(seed, "network", run.step))
            rate = learning_rate(recipe, run.step, steps, per_epoch)
            for group in optimiser.param_groups:
                group["lr"] = rate

            measures = parts.backward(crops)
            fabric_optimiser.step()
            fabric_optimiser.zero_grad()

            run.seen(measures)
            bar.update()
            if not bar.disable and bar.n == bar.last_print_n:  # it has just been drawn: the loop's only wait for a GPU
                bar.set_postfix_str(f"{run.error_mm():.1f} mm", refresh=False)
            if run.step % per_epoch == 0:
                run.end_epoch(run.step // per_epoch, rate, validation, source)
            if time.perf_counter() - saved > checkpoint_seconds or run.step == last:
                checkpoints.save(run.step, run.tensors(), run.facts(settings))
                saved = time.perf_counter()
    return run.finish(settings)


# Where frames come from -----------------------------------------------------------------------


class Stored:
    """Frames of a data set, read and cut on the CPU, and kept as cut windows for the next epoch.

    `cube` mm, or several sides of which each sample draws one; `centre` as in `prepare.batch`, found
    with the smallest side. A window is kept as 16-bit depth in steps of 1/16 mm about its centre
    (±2047 mm), trimmed to what is not background, until `memory` bytes are full: frames beyond that
    are read again each time. Frames pass through the same 16 bits before they are kept, so that the
    batches do not depend on `memory`.
    """

    on_host = True

    def __init__(self, dataset, cube, centre="mass", *, memory=MEMORY, margin=MARGIN):
        if len(dataset) == 0:
            raise HandPoseError("a training set without frames: at least one is needed")
        self.dataset, self.centre, self.memory, self.margin = dataset, centre, memory, margin
        self.cubes = _sides(cube)
        self._kept, self._bytes = {}, 0
        self._orders = {}

    def __len__(self):
        return len(self.dataset)

    def describe(self) -> dict:
        """What decides the frames, for checkpoint and record."""
        return {"kind": "stored", "dataset": self.dataset.name, "fingerprint": self.dataset.fingerprint,
                "protocol": dict(self.dataset.protocol), "centre": self.centre, "cube": list(self.cubes)}

    def batch(self, step, size, seed=0, device="cpu") -> Crops:
        """Batch `step`: places step·size … of an endless row of shuffled epochs, no frame left out."""
        places = range(step * size, (step + 1) * size)
        crops = self.crops([self._order(seed, place // len(self))[place % len(self)] for place in places])
        return _draw_cubes(crops, self.cubes, seed, step).to(device)

    def sweep(self, *, cube=None, batch=64, device="cpu"):
        """Every frame once, in order, seen in a cube of side `cube` (None: the source's smallest)."""
        starts = range(0, len(self), batch)
        for crops in evaluation.in_background(
            lambda start: self.crops(range(start, min(start + batch, len(self)))), starts
        ):
            yield replace(crops, cube=torch.full_like(crops.cube, cube or min(self.cubes))).to(device)

    def crops(self, indices: Sequence[int]) -> Crops:
        """The windows of these frames, from memory where they are kept."""
        missing = sorted({i for i in indices if i not in self._kept})
        fresh = dict(zip(missing, self._cut(missing), strict=True)) if missing else {}
        for i, window in fresh.items():
            if self._bytes + window.depth.nbytes <= self.memory:
                self._kept[i] = window
                self._bytes += window.depth.nbytes
        return _assemble([self._kept.get(i) or fresh[i] for i in indices], min(self.cubes))

    def _cut(self, indices):
        frames = self.dataset.frames(indices)
        smallest, largest = min(self.cubes), max(self.cubes)
        # Windows of a few pixels: only centres and the like are wanted here, pixels come from the images.
        crops = prepare.batch(frames, smallest, self.centre, size=8)
        if crops.joints is None:
            raise HandPoseError(f"frames of {self.dataset.name} without joints: training needs them")
        return [_window(frame.depth, crops, i, reach=self.margin * largest / 2) for i, frame in enumerate(frames)]

    def _order(self, seed, epoch):
        """The frames of one epoch in their order; two epochs are remembered, since a batch may span both."""
        if (seed, epoch) not in self._orders:
            self._orders = {key: order for key, order in self._orders.items() if key == (seed, epoch - 1)}
            self._orders[seed, epoch] = torch.randperm(
                len(self), generator=generator(seed, "order", epoch)).tolist()
        return self._orders[seed, epoch]


class Subset:
    """Some frames of a data set, which is a data set again: `Subset(train, train.subjects != 7, "without subject 7")`.

    `rows` a mask (N,) or indices; `note` says in the protocol what was chosen.
    """

    def __init__(self, dataset, rows: torch.Tensor, note: str):
        self._whole, self._rows = dataset, rows.nonzero()[:, 0] if rows.dtype == torch.bool else rows
        self.name, self.camera, self.skeleton = dataset.name, dataset.camera, dataset.skeleton
        self.synthetic, self.fingerprint = dataset.synthetic, dataset.fingerprint
        self.protocol = {**dataset.protocol, "subset": note}

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, index):
        return self._whole[int(self._rows[index])]

    def frames(self, indices):
        return self._whole.frames([int(self._rows[i]) for i in indices])

    def joints(self):
        return self._whole.joints()[self._rows]


class OnTheFly:
    """Synthetic frames, rendered on the device where they are used; none is ever seen twice.

    `distribution` and `protocol` as in `synth.frames`; `frames` make one epoch; `subjects` of the
    synthetic population; `cube` and `centre` as in `Stored`.
    """

    on_host = False

    def __init__(self, distribution="wide", *, frames, cube, seed=0, protocol="msra", subjects=range(8),
                 centre="mass"):
        from . import synth

        self._render = synth.frames
        self.distribution, self.frames, self.seed = distribution, frames, seed
        self.protocol, self.subjects = protocol, tuple(subjects)
        self.centre = one_of("centre", centre, ("mass", "true", "stored"))
        self.cubes = _sides(cube)

    def __len__(self):
        return self.frames

    def describe(self) -> dict:
        """What decides the frames, for checkpoint and record."""
        distribution = self.distribution if isinstance(self.distribution, str) else vars(self.distribution)
        return {"kind": "on the fly", "dataset": self.protocol, "distribution": distribution, "seed": self.seed,
                "subjects": list(self.subjects), "centre": self.centre, "cube": list(self.cubes)}

    def batch(self, step, size, seed=0, device="cpu") -> Crops:
        """Batch `step`: the frames step·size … of the endless set that the two seeds name."""
        crops = self.crops(range(step * size, (step + 1) * size), seed, device)
        return _draw_cubes(crops, self.cubes, seed, step)

    def sweep(self, *, cube=None, batch=64, device="cpu"):
        """The frames of the first epoch, in order, seen in a cube of side `cube` (None: the smallest)."""
        for start in range(0, len(self), batch):
            crops = self.crops(range(start, min(start + batch, len(self))), 0, device)
            yield replace(crops, cube=torch.full_like(crops.cube, cube or min(self.cubes)))

    def crops(self, indices: Sequence[int], seed=0, device="cpu") -> Crops:
        """These frames, rendered and cut."""
        rendered = self._render(indices, seed=mix(self.seed, "frames", seed) % (1 << 31), protocol=self.protocol,
                                distribution=self.distribution, subjects=self.subjects, device=device)
        smallest = min(self.cubes)
        if self.centre == "mass":
            centre = prepare.locate(rendered.depth, rendered.camera, cube=smallest)
        elif self.centre == "true":
            centre = prepare.true_centre(rendered.joints)
        else:
            centre = rendered.centre
        return prepare.crop(rendered.depth, rendered.camera, centre, smallest, rendered.joints, rendered.hands,
                            rendered.ids, margin=MARGIN * max(self.cubes) / smallest)


# What is random, and the schedule ---------------------------------------------------------------


def mix(seed: int, purpose: str, number: int) -> int:
    """63 bits that look random, decided by (seed, purpose, number) and by nothing else."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, purpose: str, number: int) -> torch.Generator:
    """A generator on the CPU, seeded by `mix`: the same numbers wherever the batch lives."""
    return torch.Generator().manual_seed(mix(seed, purpose, number))


def learning_rate(recipe, step: int, steps: int, per_epoch: int) -> float:
    """The rate of update `step` of `steps`.

    'exponential': lr · gamma^epoch; 'cosine': down to 0 by half a cosine; both after a linear climb
    over `warmup` updates. 'onecycle': up to lr by half a cosine over `warmup` updates (30 % of all
    when it is 0) and down to 0 by another.
    """
    one_of("schedule", recipe.schedule, ("exponential", "cosine", "onecycle"))
    climb = min(recipe.warmup or (math.ceil(0.3 * steps) if recipe.schedule == "onecycle" else 0), steps)
    if step < climb and recipe.schedule == "onecycle":
        start = recipe.warmup_from or 1 / 25
        return recipe.lr * (start + (1 - start) * _half_cosine(1 - step / climb))
    warm = min(1.0, recipe.warmup_from + (1 - recipe.warmup_from) * (step + 1) / climb) if climb else 1.0
    if recipe.schedule == "exponential":
        return recipe.lr * warm * recipe.gamma ** (step // per_epoch // recipe.every)
    return recipe.lr * warm * _half_cosine(max(0, step - climb) / max(1, steps - climb))


def _half_cosine(x: float) -> float:
    """From 1 at x = 0 to 0 at x = 1."""
    return 0.5 * (1 + math.cos(math.pi * x))


def epoch_weights(out, epoch: int) -> Path:
    """Where a training in the folder `out` whose recipe says `keep_epochs` keeps the weights of `epoch`, from 1 on."""
    return Path(out) / "epochs" / f"{epoch:03d}.safetensors"


# What changes during a training -----------------------------------------------------------------


class _Run:
    """Weights, optimiser, average, sums of the running epoch, curve: all that a checkpoint holds."""

    def __init__(self, method, optimiser, recipe, place, out):
        self.method, self.optimiser, self.recipe, self.place, self.out = method, optimiser, recipe, place, out
        self.step, self.curve, self.terms = 0, [], []
        self.sums = None  # (terms + 1,) on the device: loss terms and error, summed over the epoch's updates
        self.summed = 0
        self.average = _snapshot(method) if recipe.average else None
        self.best = None  # weights of the best epoch, once one was validated
        self.best_epoch = 0
        self.seconds = self.waiting = 0.0
        self.memory = None
        self._clock = time.perf_counter()

    def next(self, batches):
        start = time.perf_counter()
        crops = next(batches)
        self.waiting += time.perf_counter() - start
        return crops

    def seen(self, measures):
        """Take in one update, its loss terms and last its error: sums stay on the device, nothing waits for it."""
        self.terms = list(measures)[:-1]
        values = torch.stack(list(measures.values()))
        self.sums = values if self.sums is None else self.sums + values
        self.summed += 1
        self.step += 1
        if self.average is not None:
            self._update_average()

    def _update_average(self):
        # Early on the average follows closely: the first weights are not worth remembering.
        decay = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        state = self.method.state_dict()
        names = [name for name, value in state.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.average[n] for n in names], [state[n] for n in names], 1 - decay)
        for name, value in state.items():
            if not value.is_floating_point():  # counters of the batch norms
                self.average[name].copy_(value)

    def error_mm(self):
        return (self.sums[-1] / self.summed).item()

    def end_epoch(self, epoch, rate, validation, source):
        means = (self.sums / self.summed).tolist()
        if not all(map(math.isfinite, means)):
            raise HandPoseError(f"training diverged: in epoch {epoch} the loss is no longer a number; "
                                f"a learning rate below {self.recipe.lr:g} may help")
        entry = {"epoch": epoch, "step": self.step, "rate": rate, "error_mm": means[-1],
                 **dict(zip(self.terms, means, strict=False))}
        if validation is not None:
            with self._chosen_weights():
                predicted = evaluation.predict(self.method, validation, cube=self.recipe.cube_test,
                                               centre=source.centre, batch=self.recipe.batch)
                entry["validation_mm"] = evaluation.score(predicted, validation.joints())["mean_joint_error_mm"]
                if entry["validation_mm"] < min((e["validation_mm"] for e in self.curve), default=math.inf):
                    self.best, self.best_epoch = _snapshot(self.method), epoch
        self.curve.append(entry)
        self.sums, self.summed = None, 0
        if self.recipe.keep_epochs:
            write_tensors(epoch_weights(self.out, epoch), self.method.state_dict())

    @contextmanager
    def _chosen_weights(self):
        """The method with its averaged weights, where there are any, for a moment."""
        if self.average is None:
            yield
            return
        current = _snapshot(self.method)
        self.method.load_state_dict(self.average)
        try:
            yield
        finally:
            self.method.load_state_dict(current)

    def tensors(self) -> dict[str, torch.Tensor]:
        groups = {"weights": self.method.state_dict(), "average": self.average or {}, "best": self.best or {},
                  "sums": {} if self.sums is None else {"": self.sums}}
        for number, parameter in enumerate(self._parameters()):
            for name, value in self.optimiser.state[parameter].items():
                groups[f"optimiser.{number}.{name}"] = {"": torch.as_tensor(value)}
        return {f"{group}/{name}": tensor for group, named in groups.items() for name, tensor in named.items()}

    def facts(self, settings) -> dict:
        now = time.perf_counter()
        self.seconds += now - self._clock
        self._clock = now
        self.memory = max(filter(None, (self.memory, evaluation.peak_memory(self.place))), default=None)
        return {"settings": settings, "curve": self.curve, "terms": self.terms, "summed": self.summed,
                "best_epoch": self.best_epoch, "seconds": self.seconds, "waiting": self.waiting,
                "memory": self.memory}

    def restore(self, checkpoint, settings):
        """Take up a checkpoint, if there is one and it is of this training."""
        if checkpoint is None:
            return
        step, tensors, facts = checkpoint
        if not _same_training(facts["settings"], settings):
            return
        named = {}
        for key, tensor in tensors.items():
            group, _, name = key.partition("/")
            named.setdefault(group, {})[name] = tensor.to(self.place)
        self.method.load_state_dict(named["weights"])
        for number, parameter in enumerate(self._parameters()):
            prefix = f"optimiser.{number}."
            self.optimiser.state[parameter] = {
                group.removeprefix(prefix): _like(value[""], parameter)
                for group, value in named.items() if group.startswith(prefix)
            }
        # Copied into what is there: the memory layout decides how a sum is rounded.
        for name, value in (self.average or {}).items():
            value.copy_(named["average"][name])
        self.best, self.best_epoch = named.get("best"), facts["best_epoch"]
        self.sums = named.get("sums", {}).get("")
        self.step, self.curve, self.terms, self.summed = step, facts["curve"], facts["terms"], facts["summed"]
        self.seconds, self.waiting, self.memory = facts["seconds"], facts["waiting"], facts["memory"]

    def _parameters(self):
        return [parameter for group in self.optimiser.param_groups for parameter in group["params"]]

    def finish(self, settings) -> History:
        """Leave the chosen weights in the method."""
        choice, epoch = "last", len(self.curve)
        if self.best is not None and self.recipe.schedule == "exponential":
            choice, epoch = "best epoch on validation", self.best_epoch
            self.method.load_state_dict(self.best)
        elif self.average is not None:
            choice = "average"
            self.method.load_state_dict(self.average)
        self.method.eval()
        return History(self.curve, self.step, self.step * self.recipe.batch, self.seconds, self.waiting, self.memory,
                       evaluation.device_facts(self.place), settings, choice, epoch)


# Helpers of the loop ------------------------------------------------------------------------------


def _fabric(place, precision):
    """Lightning Fabric on one device, without its advice on the screen."""
    for name in ("lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from lightning.fabric import Fabric  # here, because it takes seconds and reading records needs none of it

    devices = 1 if place.type == "cpu" else [place.index or 0]
    return Fabric(accelerator=place.type, devices=devices, precision=precision)


class _Parts:
    """A batch in equal parts, each computed by a thread of its own that keeps to one core.

    A small network's operations are over before a second core has joined in; a core that does all of them
    for its own samples never waits. It is what training on several devices does: the batch norms see
    one part each, the gradients are averaged, and the first part's running statistics are the ones kept. Which thread
    does what decides no bit of the result.
    """

    def __init__(self, method, recipe, fabric):
        if recipe.batch % recipe.parts:
            raise HandPoseError(f"a batch of {recipe.batch} in {recipe.parts} parts: accepted is a number that divides it")
        if recipe.parts > 1 and any(isinstance(m, torch.nn.modules.dropout._DropoutNd) and m.p > 0 for m in method.modules()):
            raise HandPoseError(f"{method.name} drops out at random: accepted is a recipe with parts=1")
        self.methods = [method, *(_twin(method) for _ in range(recipe.parts - 1))]
        self.models = [fabric.setup_module(each) for each in self.methods]
        self.fabric, self.size, self.pool = fabric, recipe.batch // recipe.parts, None

    def __enter__(self):
        if len(self.methods) > 1:
            self.threads = torch.get_num_threads()
            self.pool = ThreadPoolExecutor(len(self.methods), initializer=torch.set_num_threads, initargs=(1,))
        return self

    def __exit__(self, *_):
        if self.pool is not None:
            self.pool.shutdown()
            torch.set_num_threads(self.threads)  # for threads to come

    def backward(self, crops) -> dict[str, torch.Tensor]:
        """Gradients of the mean loss over the parts; each loss term, and last `error_mm` of the joints."""
        rows = [slice(start, start + self.size) for start in range(0, len(crops), self.size)]
        each = (self.pool.map if self.pool else map)(self._backward, self.models, self.methods, map(crops.index, rows))
        measures = list(each)
        if self.pool:
            mine, *others = ([p.grad for p in method.parameters() if p.grad is not None] for method in self.methods)
            for theirs in others:
                torch._foreach_add_(mine, theirs)
            torch._foreach_div_(mine, len(self.methods))
            for twin in self.methods[1:]:
                twin.zero_grad()
        return {name: torch.stack([m[name] for m in measures]).mean(0) for name in measures[0]}

    def _backward(self, model, method, crops):
        y = model(method.encode(crops))
        losses = method.loss(y, crops)
        self.fabric.backward(losses["total"])
        with torch.no_grad():
            error = (method.decode(y, crops).float() - crops.joints).norm(dim=-1).mean()
        return {**{name: value.detach().float() for name, value in losses.items()}, "error_mm": error}


def _twin(method):
    """A copy that shares the parameters' memory, with gradients and running statistics of its own."""
    twin = copy.deepcopy(method).train()
    for mine, theirs in zip(method.parameters(), twin.parameters(), strict=True):
        theirs.data = mine.data
    return twin


def _optimiser(method, recipe):
    one_of("optimiser", recipe.optimiser, ("adam", "adamw", "rmsprop"))
    one_of("weight decay mode", recipe.weight_decay_mode, ("coupled", "decoupled"))
    if recipe.optimiser == "rmsprop":
        momentum, smoothing = recipe.betas
        return torch.optim.RMSprop(method.parameter_groups(recipe.weight_decay), lr=recipe.lr, alpha=smoothing,
                                   momentum=momentum)
    kind = torch.optim.AdamW if recipe.weight_decay_mode == "decoupled" else torch.optim.Adam
    return kind(method.parameter_groups(recipe.weight_decay), lr=recipe.lr, betas=tuple(recipe.betas), fused=True)


def _channels_last(method):
    """Kernels in the layout in which convolutions are fastest, on the CPU as well."""
    for parameter in method.parameters():
        layout = {4: torch.channels_last, 5: torch.channels_last_3d}.get(parameter.ndim)
        if layout:
            parameter.data = parameter.data.contiguous(memory_format=layout)
    return method


def _batches(source, steps, size, seed, place):
    """The batches of these steps on the device, ready before they are asked for.

    What the CPU makes comes from one thread; what the device renders is made where it is used.
    """
    if not source.on_host and place.type != "cpu":
        for step in steps:
            yield source.batch(step, size, seed, place)
        return
    pin = place.type == "cuda"

    def make(step):
        crops = source.batch(step, size, seed, "cpu")
        return _pinned(crops) if pin else crops

    for crops in evaluation.in_background(make, steps):
        yield crops.to(place, non_blocking=pin)


def _pinned(crops):
    """In memory that a GPU fetches from without a halt."""
    tensors = {name: value.pin_memory() for name, value in vars(crops).items() if isinstance(value, torch.Tensor)}
    return replace(crops, **tensors)


def _settings(method, source, recipe, seed, validation) -> dict:
    """Everything that decides the weights, as plain JSON values; `code` last, by its digest."""
    modules = sorted({name for name in (type(method).__module__, __name__) if name.startswith(__package__ + ".")})
    settings = {
        "method": method.name,
        "variant": method.variant,
        "skeleton": method.skeleton.name,
        "config": method.config,
        "recipe": recipe,
        "seed": seed,
        "source": source.describe(),
        "validation": None if validation is None else {"fingerprint": validation.fingerprint,
                                                       "protocol": validation.protocol},
        "code": {"modules": modules, "digest": _code_digest(tuple(modules))},
    }
    return json.loads(json.dumps(settings, default=_plain))


@cache
def _code_digest(modules) -> str:
    return provenance.digest(provenance.closure(modules))


def _plain(value):
    if isinstance(value, Mapping):
        return dict(value)
    return vars(value) if hasattr(value, "__dataclass_fields__") else str(value)


def _same_training(old, new) -> bool:
    """May a checkpoint with settings `old` be continued with `new`?"""
    for name in new:
        if name != "code" and old.get(name) != new[name]:
            path, before, now = _difference(old.get(name), new[name], name)
            raise HandPoseError(f"the folder holds a training with {path} = {before!r}, and now {now!r} is asked for: "
                                "give another folder for this one, or remove the old")
    if old.get("code") != new["code"]:
        warnings.warn("the code has changed since the checkpoint was written: training starts over", stacklevel=4)
        return False
    return True


def _difference(old, new, path):
    """The first place where two JSON values differ: (dotted path, old value, new value)."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*new, *(n for n in old if n not in new)]:
            if old.get(name) != new.get(name):
                return _difference(old.get(name), new.get(name), f"{path}.{name}")
    return path, old, new


def _like(value, parameter):
    """`value` in the memory layout of `parameter`; a counter as it is."""
    return value if value.ndim == 0 else torch.empty_like(parameter).copy_(value)


def _snapshot(method):
    return {name: value.detach().clone() for name, value in method.state_dict().items()}


# Helpers of the sources ----------------------------------------------------------------------------

_EMPTY = -32768  # a window's pixel without a surface
_STEP = 1 / 16  # mm


class _Window(NamedTuple):
    """One cut frame as it is kept: depth (h, w) int16 in steps of 1/16 mm from the centre's depth."""

    depth: torch.Tensor
    origin: torch.Tensor
    camera: torch.Tensor
    centre: torch.Tensor
    mirror: torch.Tensor
    joints: torch.Tensor
    id: str


def _window(depth, crops, row, reach):
    """What `depth` (H, W) mm shows within `reach` mm of the centre of `crops[row]`, sideways at its depth and behind."""
    x, y, z = crops.centre[row].tolist()
    fx, fy, u0, v0 = crops.camera[row].tolist()
    (left, right), (top, bottom) = (
        (min(max(math.floor(p - f * reach / z), 0), size - 1), max(math.ceil(p + f * reach / z) + 1, 1))
        for p, f, size in ((u0 + fx * x / z, fx, depth.shape[1]), (v0 + fy * y / z, fy, depth.shape[0])))
    image = depth[top:bottom, left:right]
    measured = (image > 0) & (image <= z + reach)  # all else is background in every view
    rows, columns = measured.any(1).nonzero()[:, 0], measured.any(0).nonzero()[:, 0]
    if len(rows):
        (v, below), (u, beyond) = ((int(used[0]), int(used[-1]) + 1) for used in (rows, columns))
        image, measured, left, top = image[v:below, u:beyond], measured[v:below, u:beyond], left + u, top + v
    steps = ((image - z) / _STEP).round_().clamp_(-32767, 32767).masked_fill_(~measured, _EMPTY).to(torch.int16)
    return _Window(steps, crops.origin.new_tensor([left, top]), crops.camera[row], crops.centre[row], crops.mirror[row],
                   crops.joints[row], crops.ids[row])


def _assemble(windows, cube):
    """`Crops` from kept windows: the inverse of `_window`, but for what it took for background."""
    size = 8 * math.ceil(max(max(w.depth.shape) for w in windows) / 8)
    steps = torch.full((len(windows), size, size), _EMPTY, dtype=torch.int16)
    for row, window in zip(steps, windows, strict=True):
        row[: window.depth.shape[0], : window.depth.shape[1]] = window.depth
    origin, camera, centre, mirror, joints = (
        torch.stack([getattr(w, name) for w in windows]) for name in ("origin", "camera", "centre", "mirror", "joints")
    )
    depth = (steps * _STEP + centre[:, 2, None, None]).masked_fill_(steps == _EMPTY, 0)
    cubes = torch.full_like(mirror, cube)
    return Crops(depth, origin, camera, centre, cubes, torch.zeros_like(cubes), torch.ones_like(cubes), mirror, joints,
                 [w.id for w in windows])


def _sides(cube) -> tuple[float, ...]:
    sides = tuple(float(side) for side in (cube if isinstance(cube, Sequence) else (cube,)))
    if not sides or not all(0 < side < math.inf for side in sides):
        raise HandPoseError(f"cube {cube!r}: accepted is its side in mm, or several of which each sample draws one")
    return sides


def _draw_cubes(crops, sides, seed, step):
    """`crops`, each in a cube of one of the `sides`, decided by (seed, step)."""
    drawn = torch.randint(len(sides), (len(crops),), generator=generator(seed, "cube", step))
    return replace(crops, cube=torch.tensor(sides)[drawn].to(crops.cube))
