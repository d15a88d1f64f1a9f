"""Learning-rate schedules."""

import math
from typing import Any

from handpose_lib.errors import one_of


def learning_rate(recipe: Any, step: int, steps: int, per_epoch: int) -> float:
    """Return the learning rate of update `step` of `steps`, counted from 0.

    `recipe`: a `papers.method.Recipe`, whose `schedule` is one of:

    exponential    lr · gamma^(epoch // every) after a linear rise over `warmup` updates
    steps          lr · gamma^(number of `drops` that are behind), after the same rise
    cosine         half a cosine down to 0 after a linear rise over `warmup` updates
    onecycle       half a cosine up to lr over `warmup` updates (0 means 30 % of all), then half a
                   cosine down to 0
    """
    one_of("schedule", recipe.schedule, ("exponential", "steps", "cosine", "onecycle"))
    climb = min(
        recipe.warmup or (math.ceil(0.3 * steps) if recipe.schedule == "onecycle" else 0), steps
    )
    if step < climb and recipe.schedule == "onecycle":
        start = recipe.warmup_from or 1 / 25
        return recipe.lr * (start + (1 - start) * _half_cosine(1 - step / climb))
    warm = (
        min(1.0, recipe.warmup_from + (1 - recipe.warmup_from) * (step + 1) / climb)
        if climb
        else 1.0
    )
    if recipe.schedule == "exponential":
        return recipe.lr * warm * recipe.gamma ** (step // per_epoch // recipe.every)
    if recipe.schedule == "steps":
        behind = sum(step // per_epoch >= epoch for epoch in recipe.drops)
        return recipe.lr * warm * recipe.gamma**behind
    return recipe.lr * warm * _half_cosine(max(0, step - climb) / max(1, steps - climb))


def _half_cosine(x: float) -> float:
    """Return half a cosine, which falls from 1 at x = 0 to 0 at x = 1."""
    return 0.5 * (1 + math.cos(math.pi * x))
