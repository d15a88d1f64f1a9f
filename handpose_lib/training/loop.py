"""Training any method, so that it can be killed at any moment and continue as if nothing had been.

    recipe = papers.recipe("jgr_p2o", dataset="synthetic", profile="laptop")
    source = Stored(train, cube=recipe.cube_train)              # frames of a data set, or
    source = OnTheFly("wide", frames=20_000, cube=recipe.cube_train)    # rendered where they are
    used history = fit(method, source, recipe, out, seed=0)

Nothing random is remembered between two updates: batch order, augmentation, rendered frames and
dropout are functions of (seed, step). So a checkpoint holds what the optimiser changes, and nothing
else, and a continued training gives the same bits on a CPU with the same number of threads.
"""

import copy
import json
import logging
import math
import time
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from tqdm.auto import tqdm

from handpose_lib import evaluation, prepare
from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.io import provenance
from handpose_lib.io.background import in_background
from handpose_lib.io.storage import Checkpoints, write_tensors
from handpose_lib.training.randomness import generator, mix
from handpose_lib.training.schedule import learning_rate

PRECISIONS = ("32-true", "bf16-mixed")


@dataclass
class History:
    """What a training leaves beside its weights.

    `curve` has one entry per epoch: `epoch`, `step`, `rate`, `error_mm` on the augmented training
    frames, each term of the loss (means over the updates), and `validation_mm` where there is a
    validation set. `seconds` spent in the loop, of which `waiting` for frames; `choice` is the rule
    by which the weights were chosen ('last', 'average', 'best epoch on validation') and `epoch`
    theirs.
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


def fit(
    method,
    source,
    recipe,
    out,
    *,
    seed=0,
    device="auto",
    epochs=None,
    validation=None,
    precision=None,
    progress=True,
    checkpoint_seconds=60.0,
    until=None,
) -> History:
    """Train `method` in place on `source` as `recipe` says; `out`/checkpoint is where it continues
    from.

    `epochs` and `precision` override the recipe; `until` an epoch, the training is left after it as
    if interrupted there. `validation` is a data set whose mean joint error ends every epoch; with
    the schedule 'exponential' the best epoch's weights are kept, so that it must be carved from the
    training
    subjects: choosing by the test split would be training on it. Otherwise the last weights count,
    or their running average where the recipe asks for one.

    A checkpoint of the same settings but other code is not continued (a warning says so); one of
    other settings is an error, as is a loss that is no longer a number.
    """
    recipe = replace(
        recipe, epochs=epochs or recipe.epochs, precision=precision or recipe.precision
    )
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
    bar = tqdm(
        total=steps,
        initial=run.step,
        desc=f"train {method.name}",
        unit="step",
        disable=not progress,
    )
    batches = _batches(source, range(run.step, last), recipe.batch, seed, place)
    method.train()
    with bar, parts:
        while run.step < last:
            crops = run.next(batches)
            crops = prepare.augment(
                crops, generator(seed, "augment", run.step), **recipe.augmentation
            )
            torch.manual_seed(mix(seed, "network", run.step))
            rate = learning_rate(recipe, run.step, steps, per_epoch)
            for group in optimiser.param_groups:
                group["lr"] = rate

            measures = parts.backward(crops)
            fabric_optimiser.step()
            fabric_optimiser.zero_grad()

            run.seen(measures)
            bar.update()
            if (
                not bar.disable and bar.n == bar.last_print_n
            ):  # it has just been drawn: the loop's only wait for a GPU
                bar.set_postfix_str(f"{run.error_mm():.1f} mm", refresh=False)
            if run.step % per_epoch == 0:
                run.end_epoch(run.step // per_epoch, rate, validation, source)
            if time.perf_counter() - saved > checkpoint_seconds or run.step == last:
                checkpoints.save(run.step, run.tensors(), run.facts(settings))
                saved = time.perf_counter()
    return run.finish(settings)


def epoch_weights(out, epoch: int) -> Path:
    """Where a training in the folder `out` whose recipe says `keep_epochs` keeps the weights of
    `epoch`, from 1 on.
    """
    return Path(out) / "epochs" / f"{epoch:03d}.safetensors"


# What changes during a training -----------------------------------------------------------------


class _Run:
    """Weights, optimiser, average, sums of the running epoch, curve: all that a checkpoint holds."""

    def __init__(self, method, optimiser, recipe, place, out):
        self.method, self.optimiser, self.recipe, self.place, self.out = (
            method,
            optimiser,
            recipe,
            place,
            out,
        )
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
        """Take in one update, its loss terms and last its error: sums stay on the device, nothing
        waits for it.
        """
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
            raise HandPoseError(
                f"training diverged: in epoch {epoch} the loss is no longer a number; "
                f"a learning rate below {self.recipe.lr:g} may help"
            )
        entry = {
            "epoch": epoch,
            "step": self.step,
            "rate": rate,
            "error_mm": means[-1],
            **dict(zip(self.terms, means, strict=False)),
        }
        if validation is not None:
            with self._chosen_weights():
                predicted = evaluation.predict(
                    self.method,
                    validation,
                    cube=self.recipe.cube_test,
                    centre=source.centre,
                    batch=self.recipe.batch,
                )
                entry["validation_mm"] = evaluation.score(predicted, validation.joints())[
                    "mean_joint_error_mm"
                ]
                if entry["validation_mm"] < min(
                    (e["validation_mm"] for e in self.curve), default=math.inf
                ):
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
        groups = {
            "weights": self.method.state_dict(),
            "average": self.average or {},
            "best": self.best or {},
            "sums": {} if self.sums is None else {"": self.sums},
        }
        for number, parameter in enumerate(self._parameters()):
            for name, value in self.optimiser.state[parameter].items():
                groups[f"optimiser.{number}.{name}"] = {"": torch.as_tensor(value)}
        return {
            f"{group}/{name}": tensor
            for group, named in groups.items()
            for name, tensor in named.items()
        }

    def facts(self, settings) -> dict:
        now = time.perf_counter()
        self.seconds += now - self._clock
        self._clock = now
        self.memory = max(
            filter(None, (self.memory, evaluation.peak_memory(self.place))), default=None
        )
        return {
            "settings": settings,
            "curve": self.curve,
            "terms": self.terms,
            "summed": self.summed,
            "best_epoch": self.best_epoch,
            "seconds": self.seconds,
            "waiting": self.waiting,
            "memory": self.memory,
        }

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
                for group, value in named.items()
                if group.startswith(prefix)
            }
        # Copied into what is there: the memory layout decides how a sum is rounded.
        for name, value in (self.average or {}).items():
            value.copy_(named["average"][name])
        self.best, self.best_epoch = named.get("best"), facts["best_epoch"]
        self.sums = named.get("sums", {}).get("")
        self.step, self.curve, self.terms, self.summed = (
            step,
            facts["curve"],
            facts["terms"],
            facts["summed"],
        )
        self.seconds, self.waiting, self.memory = (
            facts["seconds"],
            facts["waiting"],
            facts["memory"],
        )

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
        return History(
            self.curve,
            self.step,
            self.step * self.recipe.batch,
            self.seconds,
            self.waiting,
            self.memory,
            evaluation.device_facts(self.place),
            settings,
            choice,
            epoch,
        )


# Helpers of the loop ------------------------------------------------------------------------------


def _fabric(place, precision):
    """Lightning Fabric on one device, without its advice on the screen."""
    for name in ("lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from lightning.fabric import (
        Fabric,  # here, because it takes seconds and reading records needs none of it
    )

    devices = 1 if place.type == "cpu" else [place.index or 0]
    return Fabric(accelerator=place.type, devices=devices, precision=precision)


class _Parts:
    """A batch in equal parts, each computed by a thread of its own that keeps to one core.

    A small network's operations are over before a second core has joined in; a core that does all
    of them for its own samples never waits. It is what training on several devices does: the batch
    norms see one part each, the gradients are averaged, and the first part's running statistics are
    the ones kept. Which thread does what decides no bit of the result.
    """

    def __init__(self, method, recipe, fabric):
        if recipe.batch % recipe.parts:
            raise HandPoseError(
                f"a batch of {recipe.batch} in {recipe.parts} parts: accepted is a number that"
                " divides it"
            )
        if recipe.parts > 1 and any(
            isinstance(m, torch.nn.modules.dropout._DropoutNd) and m.p > 0 for m in method.modules()
        ):
            raise HandPoseError(
                f"{method.name} drops out at random: accepted is a recipe with parts=1"
            )
        self.methods = [method, *(_twin(method) for _ in range(recipe.parts - 1))]
        self.models = [fabric.setup_module(each) for each in self.methods]
        self.fabric, self.size, self.pool = fabric, recipe.batch // recipe.parts, None

    def __enter__(self):
        if len(self.methods) > 1:
            self.threads = torch.get_num_threads()
            self.pool = ThreadPoolExecutor(
                len(self.methods), initializer=torch.set_num_threads, initargs=(1,)
            )
        return self

    def __exit__(self, *_):
        if self.pool is not None:
            self.pool.shutdown()
            torch.set_num_threads(self.threads)  # for threads to come

    def backward(self, crops) -> dict[str, torch.Tensor]:
        """Gradients of the mean loss over the parts; each loss term, and last `error_mm` of the
        joints.
        """
        rows = [slice(start, start + self.size) for start in range(0, len(crops), self.size)]
        each = (self.pool.map if self.pool else map)(
            self._backward, self.models, self.methods, map(crops.index, rows)
        )
        measures = list(each)
        if self.pool:
            mine, *others = (
                [p.grad for p in method.parameters() if p.grad is not None]
                for method in self.methods
            )
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
        return {
            **{name: value.detach().float() for name, value in losses.items()},
            "error_mm": error,
        }


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
        return torch.optim.RMSprop(
            method.parameter_groups(recipe.weight_decay),
            lr=recipe.lr,
            alpha=smoothing,
            momentum=momentum,
        )
    kind = torch.optim.AdamW if recipe.weight_decay_mode == "decoupled" else torch.optim.Adam
    return kind(
        method.parameter_groups(recipe.weight_decay),
        lr=recipe.lr,
        betas=tuple(recipe.betas),
        fused=True,
    )


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

    for crops in in_background(make, steps):
        yield crops.to(place, non_blocking=pin)


def _pinned(crops):
    """In memory that a GPU fetches from without a halt."""
    tensors = {
        name: value.pin_memory()
        for name, value in vars(crops).items()
        if isinstance(value, torch.Tensor)
    }
    return replace(crops, **tensors)


def _settings(method, source, recipe, seed, validation) -> dict:
    """Everything that decides the weights, as plain JSON values; `code` last, by its digest."""
    modules = sorted(
        {
            name
            for name in (type(method).__module__, "handpose_lib.training")
            if name.startswith(f"{provenance.PACKAGE}.")
        }
    )
    settings = {
        "method": method.name,
        "variant": method.variant,
        "skeleton": method.skeleton.name,
        "config": method.config,
        "recipe": recipe,
        "seed": seed,
        "source": source.describe(),
        "validation": (
            None
            if validation is None
            else {"fingerprint": validation.fingerprint, "protocol": validation.protocol}
        ),
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
            raise HandPoseError(
                f"the folder holds a training with {path} = {before!r}, and now {now!r} is asked"
                " for: give another folder for this one, or remove the old"
            )
    if old.get("code") != new["code"]:
        warnings.warn(
            "the code has changed since the checkpoint was written: training starts over",
            stacklevel=4,
        )
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
