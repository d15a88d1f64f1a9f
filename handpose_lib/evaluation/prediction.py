"""Predictions of a trained network over a data set, their score, trivial baselines, throughput.

    predicted = predict(method, test, cube=250)          # (N, J, 3) mm
    score(predicted, test.joints())                      # every measure of metrics.summary
    baselines(train, test, cube=250)                     # errors in mm without any training
    throughput(method, crops)                            # frames per second

Compare a network with the trivial baselines: the mean pose of the training frames at each hand's
centre, and the training frames whose depth images are nearest.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from tqdm.auto import tqdm

from handpose_lib import prepare
from handpose_lib.errors import HandPoseError
from handpose_lib.evaluation import metrics
from handpose_lib.evaluation.devices import find_device
from handpose_lib.frames import Crops, DepthFrame
from handpose_lib.io.background import in_background

NEIGHBOUR_SIZE = 24
"""Side of the depth crops that the nearest-neighbour baseline compares, in pixels."""


class Method(Protocol):
    """A network with its encoding and decoding, as every module of `papers` makes one."""

    training: bool

    def __call__(self, x: Any, /) -> Any: ...

    def encode(self, crops: Crops, /) -> Any:
        """Return the network's input."""
        ...

    def decode(self, y: Any, crops: Crops, /) -> torch.Tensor:
        """Return the joints (B, J, 3) mm in the camera frame from the network's output."""
        ...

    def parameters(self) -> Iterator[torch.nn.Parameter]: ...

    def to(self, device: torch.device, /) -> Any: ...

    def train(self, mode: bool = True, /) -> Any: ...

    def eval(self) -> Any: ...


class Frames(Protocol):
    """A data set: `frames(indices)` returns frames by number."""

    def __len__(self) -> int: ...

    def frames(self, indices: Iterable[int], /) -> Sequence[DepthFrame]: ...


@runtime_checkable
class Source(Protocol):
    """Frames that are cropped already, such as the sources of training."""

    def __len__(self) -> int: ...

    def sweep(
        self, *, cube: float | None, batch: int, device: torch.device | str
    ) -> Iterable[Crops]:
        """Return all frames once, in order."""
        ...


@torch.no_grad()
def predict(
    method: Method,
    frames: Frames | Source,
    *,
    cube: float | None = None,
    centre: str = "mass",
    batch: int = 64,
    device: torch.device | str | None = None,
    progress: bool = False,
) -> torch.Tensor:
    """Return the joints (N, J, 3) mm, float32 on the CPU, of all `frames` in their order.

    `cube` in mm and `centre` define how a data set is cropped (see `sweep`). The method is moved to
    `device` (None: it stays where it is). Its training mode is restored.
    """
    own = {"": {}}
    return decoded(
        method, frames, own, cube=cube, centre=centre, batch=batch, device=device, progress=progress
    )[""]


@torch.no_grad()
def decoded(
    method: Method,
    frames: Frames | Source,
    ways: Mapping[str, Mapping[str, Any]],
    *,
    cube: float | None = None,
    centre: str = "mass",
    batch: int = 64,
    device: torch.device | str | None = None,
    progress: bool = False,
) -> dict[str, torch.Tensor]:
    """Return what `predict` does for several ways to decode the same outputs: name → (N, J, 3).

    `ways`: name → options of the method's `decode`, such as `Method.read_outs`.
    """
    place = next(method.parameters()).device if device is None else find_device(device)
    training = method.training
    method.to(place).eval()
    try:
        total = -(-len(frames) // batch)
        crops = sweep(frames, cube=cube, centre=centre, batch=batch, device=place)
        found: dict[str, list[torch.Tensor]] = {name: [] for name in ways}
        for c in tqdm(crops, total=total, desc="predict", unit="batch", disable=not progress):
            y = method(method.encode(c))
            for name, options in ways.items():
                found[name].append(method.decode(y, c, **options).float())
    finally:
        method.train(training)
    return {name: torch.cat(each).cpu() for name, each in found.items()}


def score(predicted: torch.Tensor, joints: torch.Tensor) -> dict[str, Any]:
    """Return every measure of `predicted` against `joints`, both (N, J, 3) mm, as plain numbers."""
    return metrics.summary(predicted, joints)


@torch.no_grad()
def baselines(
    train: Frames | Source,
    test: Frames | Source,
    *,
    cube: float | None = None,
    centre: str = "mass",
    neighbours: Sequence[int] = (1, 5),
    batch: int = 256,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Return the mean joint error in mm on `test` of two methods without training.

    `mean_pose_mm`: the mean of all training poses relative to their centres, put at the test
    centre. `knn1_mm`, `knn5_mm`: the mean of the poses of the k training frames whose 24×24 depth
    crops are nearest to that of the test frame. Poses are in the coordinates of the view, in which
    left hands are mirrored as they are for the network.
    Errors: `HandPoseError` for fewer training frames than neighbours, and frames without joints.
    """
    place = find_device(device)
    known = [
        _described(c) for c in sweep(train, cube=cube, centre=centre, batch=batch, device=place)
    ]
    images, poses = (torch.cat(parts) for parts in zip(*known, strict=True))
    if len(images) < max(neighbours):
        raise HandPoseError(
            f"{len(images)} training frames: at least {max(neighbours)} are needed for the baseline"
        )
    mean = poses.mean(0)
    errors: dict[str, list[torch.Tensor]] = {
        "mean_pose_mm": [],
        **{f"knn{k}_mm": [] for k in neighbours},
    }
    for crops in sweep(test, cube=cube, centre=centre, batch=batch, device=place):
        query, _ = _described(crops)
        nearest = torch.cdist(query, images).topk(max(neighbours), largest=False).indices  # (B, k)
        errors["mean_pose_mm"].append(_errors(mean.expand(len(query), -1, -1), crops))
        for k in neighbours:
            errors[f"knn{k}_mm"].append(_errors(poses[nearest[:, :k]].mean(1), crops))
    return {name: torch.cat(parts).mean().item() for name, parts in errors.items()}


@torch.no_grad()
def throughput(method: Method, crops: Crops, seconds: float = 2.0) -> dict[str, float]:
    """Return `batch`, `ms_per_frame` and `frames_per_second` of inference.

    One batch is computed repeatedly for about `seconds`; the median counts, because other work on
    the machine affects it least. Encoding, network and decoding count, reading and cropping do not.
    """
    training = method.training
    method.eval()

    def once() -> float:
        start = time.perf_counter()
        method.decode(method(method.encode(crops)), crops)
        _wait_for(crops.depth.device)
        return time.perf_counter() - start

    try:
        warm = min(once() for _ in range(3))
        times = [once() for _ in range(max(3, min(1000, int(seconds / warm))))]
    finally:
        method.train(training)
    median = sorted(times)[len(times) // 2]
    return {
        "batch": len(crops),
        "ms_per_frame": 1000 * median / len(crops),
        "frames_per_second": len(crops) / median,
    }


def sweep(
    frames: Frames | Source,
    *,
    cube: float | None = None,
    centre: str = "mass",
    batch: int = 64,
    device: torch.device | str = "cpu",
) -> Iterator[Crops]:
    """Yield all `frames` once, in order, as `Crops` on `device`.

    A background thread reads and crops the frames of a data set ahead. A `Source` is cropped by its
    own `sweep`. Errors: `HandPoseError` for a data set without `cube`.
    """
    if isinstance(frames, Source):
        yield from frames.sweep(cube=cube, batch=batch, device=device)
        return
    if cube is None:
        raise HandPoseError(
            "the side of the cube in mm is needed to crop a data set: cube=250, for instance"
        )

    def cropped(start: int) -> Crops:
        chosen = frames.frames(range(start, min(start + batch, len(frames))))
        return prepare.batch(list(chosen), cube, centre)

    for crops in in_background(cropped, range(0, len(frames), batch)):
        yield crops.to(device)


def _described(crops: Crops) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the neighbour baseline stores: images (B, 24·24), poses (B, J, 3) in the view."""
    image = prepare.image(crops, NEIGHBOUR_SIZE).flatten(1)
    return image, prepare.xyz_to_cube(_joints(crops), crops)


def _errors(pose: torch.Tensor, crops: Crops) -> torch.Tensor:
    return metrics.joint_errors(prepare.cube_to_xyz(pose, crops), _joints(crops))


def _joints(crops: Crops) -> torch.Tensor:
    if crops.joints is None:
        raise HandPoseError("frames without joints: a baseline needs the true joints")
    return crops.joints


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
