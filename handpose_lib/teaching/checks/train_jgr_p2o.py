"""Checks of the notebook that trains JGR-P2O."""

import math

import torch

from handpose_lib.teaching.checks import Student, check, equal, exercise, holds, require

__all__ = ["check", "require"]


@exercise("one_cycle", chapter="train_jgr_p2o")
def one_cycle(student: Student, generator: torch.Generator) -> None:
    """one_cycle(step, steps, climb, start) -> factor of the rate: start → 1 → 0, both ways by half
    a cosine.
    """
    steps, climb, start = (
        _draw(generator, 80, 200),
        _draw(generator, 15, 40),
        1 / _draw(generator, 10, 30),
    )

    def curve(up, down):
        return torch.tensor(
            [
                up(s / climb) if s < climb else down((s - climb) / (steps - climb))
                for s in range(steps)
            ],
            dtype=torch.float64,
        )

    def rise(x):
        return start + (1 - start) * (1 - math.cos(math.pi * x)) / 2

    def fall(x):
        return (1 + math.cos(math.pi * x)) / 2

    found = torch.tensor(
        [float(student(step, steps, climb, start)) for step in range(steps)], dtype=torch.float64
    )
    holds(
        abs(found[0] - start) < 1e-6,
        f"the first factor must be start = {start:.3f}, not {found[0]:.3f}",
    )
    holds(
        abs(found[climb] - 1) < 1e-6,
        f"at the end of the climb the factor must be 1, not {found[climb]:.3f}",
    )
    equal(
        found,
        curve(rise, fall),
        "the factor must climb from start to 1 and fall to 0, each by half a cosine",
        hint="(1 + cos(π x)) / 2 falls from 1 at x = 0 to 0 at x = 1",
        mistakes={
            "the climb is a straight line: use half a cosine there too": curve(
                lambda x: start + (1 - start) * x, fall
            ),
            "the fall is a straight line: use half a cosine there too": curve(
                rise, lambda x: 1 - x
            ),
            "both ways are straight lines": curve(
                lambda x: start + (1 - start) * x, lambda x: 1 - x
            ),
            "the fall takes steps − climb updates, and begins at the climb's end": torch.cat(
                (
                    curve(rise, fall)[:climb],
                    torch.tensor(
                        [fall(s / steps) for s in range(climb, steps)], dtype=torch.float64
                    ),
                )
            ),
        },
    )


@exercise("batch_frames", chapter="train_jgr_p2o")
def batch_frames(student: Student, generator: torch.Generator) -> None:
    """batch_frames(step, size, frames, order) -> the numbers of the frames in batch `step`."""
    size = _draw(generator, 5, 9)
    frames = 3 * size + _draw(
        generator, 1, size
    )  # never whole batches: one of them spans two epochs
    orders = torch.stack([torch.randperm(frames, generator=generator) for _ in range(6)])
    row = orders.flatten().tolist()

    def asked(step):
        found = student(step, size, frames, lambda epoch: orders[epoch].tolist())
        return [int(number) for number in found]

    last = 4 * frames // size
    for step in (last, 0, 3, 4, last, 7):  # in no order, one of them twice
        found, expected = asked(step), row[step * size : (step + 1) * size]
        holds(
            len(found) == size,
            f"batch {step} has {len(found)} frames instead of {size}",
            "where an epoch ends within the batch, go on with the first frames of the next",
        )
        holds(
            found == expected,
            f"batch {step} must hold the places {step * size} to {(step + 1) * size - 1} of all "
            "epochs laid end to end",
            _hint(found, step, size, frames, orders),
        )


def _hint(found, step, size, frames, orders):
    first = step * size
    if found == [orders[0][(first + k) % frames] for k in range(size)]:
        return "that is always the order of epoch 0: place p belongs to epoch p // frames"
    if found == [orders[first // frames][(first + k) % frames] for k in range(size)]:
        return "a batch may span two epochs: find the epoch of each position separately"
    per_epoch = frames // size
    if (
        found
        == orders[step // per_epoch][
            step % per_epoch * size : step % per_epoch * size + size
        ].tolist()
    ):
        return "that drops the frames left over at the end of an epoch"
    return (
        "place p = step · size + k belongs to epoch p // frames, and is number p % frames in its"
        " order"
    )


def _draw(generator: torch.Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high, (1,), generator=generator))
