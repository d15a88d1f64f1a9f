"""Learning-rate schedules."""

import math

from handpose_lib.errors import one_of


def learning_rate(recipe, step: int, steps: int, per_epoch: int) -> float:
    """The rate of update `step` of `steps`.

    'exponential': lr · gamma^epoch; 'cosine': down to 0 by half a cosine; both after a linear climb
    over `warmup` updates. 'onecycle': up to lr by half a cosine over `warmup` updates (30 % of all
    when it is 0) and down to 0 by another.
    """
    one_of("schedule", recipe.schedule, ("exponential", "cosine", "onecycle"))
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
    return recipe.lr * warm * _half_cosine(max(0, step - climb) / max(1, steps - climb))


def _half_cosine(x: float) -> float:
    """From 1 at x = 0 to 0 at x = 1."""
    return 0.5 * (1 + math.cos(math.pi * x))
