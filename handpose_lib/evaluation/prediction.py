"""What a trained network is worth: predictions over a data set, its score, baselines on the same
data.

    predicted = predict(method, test, cube=250)          # (N, J, 3) mm
    score(predicted, test.joints())                      # every measure of metrics.summary
    baselines(train, test, cube=250)                     # what costs no learning at all, in mm
    throughput(method, crops)                            # frames per second, encode and decode
                                                         included

A network is only as good as it is better than doing nothing clever: the mean pose of the training
frames put at each hand's centre, and the nearest of the training frames by their depth images.
"""

import time

import torch
from tqdm.auto import tqdm

from handpose_lib import prepare
from handpose_lib.errors import HandPoseError
from handpose_lib.evaluation import metrics
from handpose_lib.evaluation.devices import find_device
from handpose_lib.io.background import in_background

#: Side of the depth crops that the nearest-neighbour baseline compares, in pixels.
NEIGHBOUR_SIZE = 24


@torch.no_grad()
def predict(method, frames, *, cube=None, centre="mass", batch=64, device=None, progress=False):
    """Joints (N, J, 3) mm, float32 on the CPU, of all `frames` in their order.

    `frames` is a data set, or anything with a `sweep` (see `sweep`); `cube` mm and `centre` say how
    it is cropped. The method goes to `device` (None: stays where it is), and is left in the mode in
    which it came.
    """
    place = next(method.parameters()).device if device is None else find_device(device)
    training = method.training
    method.to(place).eval()
    try:
        total = -(-len(frames) // batch)
        crops = sweep(frames, cube=cube, centre=centre, batch=batch, device=place)
        found = [
            method.decode(method(method.encode(c)), c).float()
            for c in tqdm(crops, total=total, desc="predict", unit="batch", disable=not progress)
        ]
    finally:
        method.train(training)
    return torch.cat(found).cpu()


def score(predicted, joints):
    """Every measure of `predicted` against `joints`, both (N, J, 3) mm, as plain numbers."""
    return metrics.summary(predicted, joints)


@torch.no_grad()
def baselines(train, test, *, cube=None, centre="mass", neighbours=(1, 5), batch=256, device="cpu"):
    """Mean joint error in mm, on `test`, of methods that only remember `train`.

    `mean_pose_mm`: the mean of all training poses, seen from their centres, put at the test centre.
    `knn1_mm`, `knn5_mm`: the mean of the poses of the k training frames whose 24×24 depth crops are
    nearest to the test frame's, by brute force. Poses are compared in the coordinates of the view,
    so that a left hand borrows from right ones as it does in the network.
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
    errors = {"mean_pose_mm": [], **{f"knn{k}_mm": [] for k in neighbours}}
    for crops in sweep(test, cube=cube, centre=centre, batch=batch, device=place):
        query, _ = _described(crops)
        nearest = torch.cdist(query, images).topk(max(neighbours), largest=False).indices  # (B, k)
        errors["mean_pose_mm"].append(_errors(mean.expand(len(query), -1, -1), crops))
        for k in neighbours:
            errors[f"knn{k}_mm"].append(_errors(poses[nearest[:, :k]].mean(1), crops))
    return {name: torch.cat(parts).mean().item() for name, parts in errors.items()}


@torch.no_grad()
def throughput(method, crops, seconds=2.0):
    """Inference of one batch, again and again for about `seconds`: the median, which a busy machine
    disturbs least. Returns `batch`, `ms_per_frame`, `frames_per_second`; encode, network and decode
    count, reading and cropping do not."""
    training = method.training
    method.eval()

    def once():
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


def sweep(frames, *, cube=None, centre="mass", batch=64, device="cpu"):
    """All `frames` once, in order, as `Crops` on `device`, read and cut one batch ahead.

    What has its own `sweep(cube=, batch=, device=)`, as the sources of training do, is asked for
    it.
    """
    if hasattr(frames, "sweep"):
        yield from frames.sweep(cube=cube, batch=batch, device=device)
        return
    if cube is None:
        raise HandPoseError(
            "the side of the cube in mm is needed to crop a data set: cube=250, for instance"
        )
    starts = range(0, len(frames), batch)
    for crops in in_background(
        lambda start: prepare.batch(
            frames.frames(range(start, min(start + batch, len(frames)))), cube, centre
        ),
        starts,
    ):
        yield crops.to(device)


def _described(crops):
    """What the neighbour baseline remembers: images (B, 24·24) and poses (B, J, 3) of the view."""
    image = prepare.image(crops, NEIGHBOUR_SIZE).flatten(1)
    return image, prepare.xyz_to_cube(crops.joints, crops)


def _errors(pose, crops):
    return metrics.joint_errors(prepare.cube_to_xyz(pose, crops), crops.joints)


def _wait_for(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)
