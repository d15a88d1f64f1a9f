"""The training loop of the networks that locate hands; frames are rendered and not kept."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import nn
from tqdm.auto import tqdm

from handpose_lib.errors import HandPoseError

Batch = TypeVar("Batch")


def learn(
    network: nn.Module,
    batches: Iterable[Batch],
    loss: Callable[[int, Batch], dict[str, torch.Tensor]],
    *,
    steps: int,
    rate: float,
    name: str,
    progress: bool = True,
) -> list[dict]:
    """Train `network` in place and return the curve of its losses in about fifty entries.

    `loss(step, batch)` returns named scalars, of which 'total' is minimised; `step` counts from 1.
    AdamW, with a learning rate that rises to `rate` over a tenth of the `steps` and falls to zero.
    Errors: `HandPoseError` once a loss is no longer a number.
    """
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-4, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rate, total_steps=steps, pct_start=0.1
    )
    curve: list[dict] = []
    sums, since = torch.zeros(()), 0
    bar = tqdm(batches, total=steps, desc=f"train {name}", unit="step", disable=not progress)
    for step, batch in enumerate(bar, start=1):
        losses = loss(step, batch)
        losses["total"].backward()
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
        sums = sums.to(losses["total"].device) + torch.stack([*losses.values()]).detach()
        if step % max(1, steps // 50) == 0 or step == steps:
            means = sums / (step - since)
            if not means.isfinite().all():
                raise HandPoseError(
                    f"training of the {name} diverged by step {step}; a rate below {rate:g} may"
                    " help"
                )
            curve.append({"step": step, **dict(zip(losses, means.tolist(), strict=True))})
            sums, since = torch.zeros(()), step
    return curve
