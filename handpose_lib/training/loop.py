"""Training that resumes bit-exactly after an interruption, for any method.

    recipe = papers.recipe("jgr_p2o", dataset="synthetic", profile="laptop")
    source = Stored(train, cube=recipe.cube_train)                      # frames of a data set, or
    source = OnTheFly("wide", frames=20_000, cube=recipe.cube_train)    # frames rendered in use
    history = fit(method, source, recipe, out, seed=0)

No random state is carried from one update to the next: batch order, augmentation, rendered frames
and dropout are functions of (seed, step). A checkpoint therefore holds only what the updates
change, and a resumed training gives the same bits on a CPU with the same number of threads.
"""

import copy
import json
import math
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from filelock import FileLock, Timeout
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm.auto import tqdm

from handpose_lib import evaluation, prepare
from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.frames import Crops
from handpose_lib.io import provenance
from handpose_lib.io.background import in_background
from handpose_lib.io.storage import Checkpoints, write_tensors
from handpose_lib.training import group as processes
from handpose_lib.training.group import Group
from handpose_lib.training.parts import Parts, check
from handpose_lib.training.randomness import generator, mix
from handpose_lib.training.schedule import learning_rate
from handpose_lib.training.sources import Frames

if TYPE_CHECKING:
    from lightning.fabric import Fabric

PRECISIONS = ("32-true", "bf16-mixed")


class Source(Protocol):
    """Where the batches of a training come from: `sources.Stored` or `sources.OnTheFly`.

    on_host    whether batches are made on the CPU, whatever the device
    centre     where cubes sit, as `prepare.batch` takes it
    """

    on_host: bool
    centre: str

    def __len__(self) -> int: ...

    def batch(
        self,
        step: int,
        size: int,
        seed: int,
        device: torch.device | str,
        rows: range | None = None,
        /,
    ) -> Crops:
        """Return batch `step`, or these rows of it; they are a function of the arguments alone."""
        ...

    def describe(self) -> dict:
        """Return what determines the frames, for checkpoint and record."""
        ...


@dataclass
class History:
    """What a training returns besides the weights.

    curve      one entry per epoch: `epoch`, `step`, `rate`, `error_mm` on the augmented training
               frames, each term of the loss (means over the updates), and `validation_mm` if there
               is a validation set
    frames     used for training, each counted as often as it was used
    seconds    spent in the loop, of which `waiting` for frames
    choice     how the weights were chosen: 'last', 'average' or 'best epoch on validation'; `epoch`
               is the epoch they belong to
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
        """The mean throughput of the training."""
        return self.frames / max(self.seconds, 1e-9)


def fit(
    method: Any,
    source: Source,
    recipe: Any,
    out: Path | str,
    *,
    seed: int = 0,
    device: torch.device | str = "auto",
    epochs: int | None = None,
    validation: Frames | None = None,
    precision: str | None = None,
    progress: bool = True,
    checkpoint_seconds: float = 60.0,
    until: int | None = None,
    devices: int = 1,
    nodes: int = 1,
) -> History:
    """Train a method in place and return the history of the training.

    method        a `papers.method.Method`; `recipe` a `papers.method.Recipe`
    out           folder of the run; the training resumes from the newest checkpoint in it
    epochs        overrides the recipe, as `precision` does
    validation    a data set; its mean joint error is measured after every epoch
    until         epoch after which the training stops as if it had been interrupted
    devices       processes of this computer that share each batch, each with a GPU or with some
                  of the cores; `nodes` computers do so together (see `training.group`)

    If the recipe chooses an epoch, the weights of the best one on the validation set are kept. The
    validation frames must come from the training subjects: choosing by the test split would be
    training on it. Otherwise the last weights are kept, or their running average if the recipe asks
    for one.

    A checkpoint with the same settings but other code is not resumed, and a warning says so. The
    number of processes is no setting: a training can be resumed with another one, and on the CPU it
    ends with the same bits.
    Errors: a recipe that chooses an epoch, and nothing to choose it by; parts of a batch that the
    processes cannot share; a checkpoint with other settings; another training in the same folder; a
    loss that is no longer a number.
    """
    recipe = replace(
        recipe, epochs=epochs or recipe.epochs, precision=precision or recipe.precision
    )
    if recipe.choose_epoch and validation is None:
        raise HandPoseError(
            "the recipe chooses an epoch (choose_epoch): accepted is a validation set to choose by"
        )
    device = evaluation.find_device(device)
    one_of("precision", recipe.precision, PRECISIONS)
    check(method, recipe, devices * nodes)
    arguments = (
        recipe,
        Path(out),
        seed,
        validation,
        checkpoint_seconds,
        min(until or recipe.epochs, recipe.epochs),
    )
    with _alone_in(Path(out)):
        if devices * nodes > 1:
            # A copy on the CPU: the processes bring it to their devices.
            given = copy.deepcopy(method).cpu()
            processes.run(
                _fit,
                given,
                source,
                *arguments,
                progress,
                device=device,
                devices=devices,
                nodes=nodes,
            )
            progress = False  # the result is there, and is only read
        history = _fit(Group(), device, method, source, *arguments, progress)
    if devices * nodes > 1:
        history.device["processes"] = devices * nodes
    return history


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """Hold the lock of a training's folder, which ends with the process, however that ends.

    Errors: `HandPoseError` if another training holds it.
    """
    if processes.node():  # the first computer holds it for all
        yield
        return
    lock = FileLock(out / "training.lock", timeout=0)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise HandPoseError(
            f"another training is running in {out}: wait for its end, or give another folder"
        ) from None
    except OSError as error:
        raise HandPoseError(
            f"{out} cannot be written ({error.strerror or error}): accepted is a folder in which"
            " files can be made, with room for checkpoints"
        ) from error
    with lock:
        lock.release()  # once: `with` has acquired it a second time
        yield


def _fit(
    group: Group,
    device: torch.device,
    method: Any,
    source: Source,
    recipe: Any,
    out: Path,
    seed: int,
    validation: Frames | None,
    checkpoint_seconds: float,
    until: int,
    progress: bool,
) -> History:
    """Train as one process of a group; see `fit`."""
    per_epoch = math.ceil((recipe.epoch_frames or len(source)) / recipe.batch)
    steps = per_epoch * recipe.epochs
    last = per_epoch * until
    fabric = _fabric(device, recipe.precision)
    optimiser = _optimiser(_channels_last(method), recipe)
    parts = Parts(method, recipe, fabric, group)
    fabric_optimiser = fabric.setup_optimizers(optimiser)
    assert not isinstance(fabric_optimiser, tuple)  # one goes in, one comes out

    first = group.rank == 0
    run = _Run(method, optimiser, recipe, device, out if first else None)
    checkpoints = Checkpoints(out / "checkpoint")
    settings = _settings(method, source, recipe, seed, validation)
    found = checkpoints.latest()
    if found is not None and run.restore(*found, settings):
        parts.restore(found[1])
    if len(set(group.gather(torch.tensor([run.step])).tolist())) > 1:
        raise HandPoseError(
            f"the processes do not find the same checkpoint in {out}: accepted is a folder that all"
            " computers of the training share"
        )

    saved = time.perf_counter()
    bar = tqdm(
        total=steps,
        initial=run.step,
        desc=f"train {method.name}",
        unit="step",
        disable=not (progress and first),
    )
    batches = _batches(source, range(run.step, last), recipe.batch, seed, device, parts.rows)
    method.train()
    with bar, parts:
        while run.step < last:
            crops = run.next(batches)
            crops = prepare.augment(
                crops,
                generator(seed, "augment", run.step),
                first=parts.rows.start,
                **recipe.augmentation,
            )
            torch.manual_seed(mix(seed, "network", run.step))
            rate = learning_rate(recipe, run.step, steps, per_epoch)
            for options in optimiser.param_groups:
                options["lr"] = rate

            measures = parts.backward(crops)
            fabric_optimiser.step()
            fabric_optimiser.zero_grad()

            run.seen(measures)
            bar.update()
            # The bar has just been drawn: this is the loop's only wait for a GPU.
            if not bar.disable and bar.n == bar.last_print_n:
                bar.set_postfix_str(f"{run.error_mm():.1f} mm", refresh=False)
            if run.step % per_epoch == 0:
                validated = validation if first else None
                run.end_epoch(run.step // per_epoch, rate, validated, source)
            late = time.perf_counter() - saved > checkpoint_seconds
            if group.decided(late) or run.step == last:
                others = parts.tensors()
                if first:
                    checkpoints.save(run.step, run.tensors() | others, run.facts(settings))
                saved = time.perf_counter()
    return run.finish(settings)


def epoch_weights(out: Path | str, epoch: int) -> Path:
    """Return the file with the weights of an epoch, counted from 1, of the training in `out`.

    It is written if the recipe says `keep_epochs`.
    """
    return Path(out) / "epochs" / f"{epoch:03d}.safetensors"


# --- What changes during a training -------------------------------------------


class _Run:
    """All that a checkpoint holds: weights, optimiser, average, sums of the epoch, curve."""

    def __init__(
        self,
        method: Any,
        optimiser: torch.optim.Optimizer,
        recipe: Any,
        device: torch.device,
        out: Path | None,
    ):
        """`out`: folder for the weights of the epochs; None if another process writes them."""
        self.method, self.optimiser, self.recipe = method, optimiser, recipe
        self.device, self.out = device, out
        self.step = 0
        self.curve: list[dict] = []
        self.terms: list[str] = []
        # (terms + 1,) on the device: loss terms and error, summed over the updates of the epoch
        self.sums: torch.Tensor | None = None
        self.summed = 0
        self.average: dict[str, torch.Tensor] | None = None
        if recipe.average:
            self.average = _snapshot(method)
        self.best: dict[str, torch.Tensor] | None = None  # weights of the best validated epoch
        self.best_epoch = 0
        self.seconds = self.waiting = 0.0
        self.memory: int | None = None
        self._clock = time.perf_counter()

    def next(self, batches: Iterator[Crops]) -> Crops:
        """Return the next batch; the time until it is ready counts as waiting."""
        start = time.perf_counter()
        crops = next(batches)
        self.waiting += time.perf_counter() - start
        return crops

    def seen(self, measures: dict[str, torch.Tensor]) -> None:
        """Add the loss terms of one update, and as the last entry its error, to the sums.

        The sums stay on the device, so that nothing waits for it.
        """
        self.terms = list(measures)[:-1]
        values = torch.stack(list(measures.values()))
        self.sums = values if self.sums is None else self.sums + values
        self.summed += 1
        self.step += 1
        if self.average is not None:
            self._update(self.average)

    def _update(self, average: dict[str, torch.Tensor]) -> None:
        # At first the average follows the weights closely: early weights are far from the last.
        decay = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        state = self.method.state_dict()
        names = [name for name, value in state.items() if value.is_floating_point()]
        update = get_ema_multi_avg_fn(decay)
        update([average[n] for n in names], [state[n] for n in names], None)
        for name, value in state.items():
            if not value.is_floating_point():  # counters of the batch norms
                average[name].copy_(value)

    def error_mm(self) -> float:
        """Return the mean joint error over the updates of the epoch so far."""
        assert self.sums is not None  # an update was seen
        return (self.sums[-1] / self.summed).item()

    def end_epoch(self, epoch: int, rate: float, validation: Frames | None, source: Source) -> None:
        """Add an entry to the curve, validate, and keep the weights that have to be kept."""
        assert self.sums is not None  # an epoch has updates
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
        if self.recipe.keep_epochs and self.out:
            write_tensors(epoch_weights(self.out, epoch), self.method.state_dict())

    @contextmanager
    def _chosen_weights(self) -> Iterator[None]:
        """Give the method its averaged weights, if there are any, inside the block."""
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
        """Return the tensors of a checkpoint, named `group/name`."""
        groups: dict[str, Mapping[str, torch.Tensor]] = {
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

    def facts(self, settings: dict) -> dict:
        """Return the rest of a checkpoint: plain JSON values."""
        now = time.perf_counter()
        self.seconds += now - self._clock
        self._clock = now
        self.memory = max(
            filter(None, (self.memory, evaluation.peak_memory(self.device))), default=None
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

    def restore(
        self, step: int, tensors: dict[str, torch.Tensor], facts: dict, settings: dict
    ) -> bool:
        """Resume from a checkpoint if it belongs to this training; return whether it does."""
        if not _same_training(facts["settings"], settings):
            return False
        named: dict[str, dict[str, torch.Tensor]] = {}
        for key, tensor in tensors.items():
            group, _, name = key.partition("/")
            named.setdefault(group, {})[name] = tensor.to(self.device)
        self.method.load_state_dict(named["weights"])
        for number, parameter in enumerate(self._parameters()):
            prefix = f"optimiser.{number}."
            self.optimiser.state[parameter] = {
                group.removeprefix(prefix): _like(value[""], parameter)
                for group, value in named.items()
                if group.startswith(prefix)
            }
        # Copied into the present tensors: the memory layout decides how a sum is rounded.
        for name, value in (self.average or {}).items():
            value.copy_(named["average"][name])
        self.best, self.best_epoch = named.get("best"), facts["best_epoch"]
        self.sums = named.get("sums", {}).get("")
        self.step, self.curve, self.terms = step, facts["curve"], facts["terms"]
        self.summed, self.memory = facts["summed"], facts["memory"]
        self.seconds, self.waiting = facts["seconds"], facts["waiting"]
        return True

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.optimiser.param_groups for parameter in group["params"]]

    def finish(self, settings: dict) -> History:
        """Load the chosen weights into the method and return the history."""
        choice, epoch = "last", len(self.curve)
        if self.best is not None and self.recipe.choose_epoch:
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
            evaluation.device_facts(self.device),
            settings,
            choice,
            epoch,
        )


# --- Helpers of the loop ------------------------------------------------------


def _fabric(device: torch.device, precision: Any) -> "Fabric":
    """Return Lightning Fabric for the one device of this process, its log messages silenced."""
    # Imported here because it takes seconds, and reading records does not need it.
    from lightning.fabric import Fabric
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment

    processes.silence()

    devices = 1 if device.type == "cpu" else [device.index or 0]
    # The plain environment: a cluster's, which Fabric may detect, is no concern of one process.
    return Fabric(
        accelerator=device.type,
        devices=devices,
        precision=precision,
        plugins=[LightningEnvironment()],
    )


def _optimiser(method: Any, recipe: Any) -> torch.optim.Optimizer:
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


def _channels_last(method: Any) -> Any:
    """Bring the kernels into the layout in which convolutions are fastest, on the CPU as well."""
    for parameter in method.parameters():
        layout = {4: torch.channels_last, 5: torch.channels_last_3d}.get(parameter.ndim)
        if layout:
            parameter.data = parameter.data.contiguous(memory_format=layout)
    return method


def _batches(
    source: Source,
    steps: Iterable[int],
    size: int,
    seed: int,
    device: torch.device,
    rows: range,
) -> Iterator[Crops]:
    """Yield these rows of the batches of these steps on the device.

    One thread makes batches on the CPU ahead of their use; a GPU renders its batches itself.
    """
    if not source.on_host and device.type != "cpu":
        for step in steps:
            yield source.batch(step, size, seed, device, rows)
        return
    pin = device.type == "cuda"

    def make(step: int) -> Crops:
        crops = source.batch(step, size, seed, "cpu", rows)
        return _pinned(crops) if pin else crops

    for crops in in_background(make, steps):
        yield crops.to(device, non_blocking=pin)


def _pinned(crops: Crops) -> Crops:
    """Return the crops in pinned memory, from which a GPU copies without blocking."""
    tensors = {
        name: value.pin_memory()
        for name, value in vars(crops).items()
        if isinstance(value, torch.Tensor)
    }
    return replace(crops, **tensors)


def _settings(
    method: Any, source: Source, recipe: Any, seed: int, validation: Frames | None
) -> dict:
    """Return all that determines the weights, as plain JSON values; the code by its digest."""
    modules = sorted(
        {
            name
            for name in (type(method).__module__, "handpose_lib.training")
            if name.startswith(f"{provenance.PACKAGE}.")
        }
    )
    without = list(provenance.RENDERING) if source.on_host else []
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
        "code": {
            "modules": modules,
            "without": without,
            "digest": _code_digest(tuple(modules), tuple(without)),
        },
    }
    return json.loads(json.dumps(settings, default=_plain))


@cache
def _code_digest(modules: tuple[str, ...], without: tuple[str, ...]) -> str:
    return provenance.digest(provenance.closure(modules, without))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return vars(value) if hasattr(value, "__dataclass_fields__") else str(value)


def _same_training(old: dict, new: dict) -> bool:
    """Return whether a checkpoint with settings `old` can be resumed with settings `new`.

    Errors: the settings differ in more than the code.
    """
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


def _difference(old: Any, new: Any, path: str) -> tuple[str, Any, Any]:
    """Return the first difference of two JSON values: (dotted path, old value, new value)."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*new, *(n for n in old if n not in new)]:
            if old.get(name) != new.get(name):
                return _difference(old.get(name), new.get(name), f"{path}.{name}")
    return path, old, new


def _like(value: torch.Tensor, parameter: nn.Parameter) -> torch.Tensor:
    """Return `value` in the memory layout of `parameter`; a counter as it is."""
    return value if value.ndim == 0 else torch.empty_like(parameter).copy_(value)


def _snapshot(method: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in method.state_dict().items()}
