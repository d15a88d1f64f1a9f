"""Checks of the chapter on the training loop."""

import copy

import torch
from torch import nn

from handpose_lib.teaching.checks import Student, check, equal, exercise, holds, normal, require

__all__ = ["check", "require"]

RATE = 0.05


@exercise("update_weights", chapter="training_loop")
def update_weights(student: Student, generator: torch.Generator) -> None:
    """update_weights(network, optimiser, x, target) -> loss before the update: one step of gradient
    descent on the mean squared error.
    """
    weight = normal(generator, (2, 3))
    batches = [(normal(generator, (7, 3)), normal(generator, (7, 2))) for _ in range(2)]
    network = nn.Linear(3, 2, bias=False, dtype=torch.float64)
    network.weight.data = weight.clone()
    optimiser = torch.optim.SGD(network.parameters(), lr=RATE)

    def loss_of(w, x, target):
        return (x @ w.T - target).square().mean()

    def gradient(w, x, target):
        return 2 * (x @ w.T - target).T @ x / target.numel()

    losses, before = [], [weight]
    for x, target in batches:
        losses.append(loss_of(before[-1], x, target))
        before.append(before[-1] - RATE * gradient(before[-1], x, target))
    for number, (x, target) in enumerate(batches):
        found = student(network, optimiser, x, target)
        w, g = before[number], gradient(before[number], x, target)
        last = gradient(before[0], *batches[0]) if number else torch.zeros_like(g)
        equal(
            network.weight.detach(),
            before[number + 1],
            f"update {number + 1} must subtract the rate times the gradient of the mean squared"
            " error of its own batch",
            mistakes={
                "the weights stay as they were: clear the gradients, then loss.backward(), then"
                " optimiser.step()": w,
                "gradients of the update before are still there: call optimiser.zero_grad() before"
                " loss.backward()": w - RATE * (g + last),
                "that is the gradient of the sum of the squares: take their mean": (
                    w - RATE * g * target.numel()
                ),
                "the step uses the gradient of the batch before: loss.backward() comes before"
                " optimiser.step()": w - RATE * last,
            },
        )
        holds(
            not isinstance(found, torch.Tensor) or not found.requires_grad,
            "the loss that it returns still carries the graph of the network",
            "return loss.item()",
        )
        equal(
            torch.as_tensor(found, dtype=torch.float64),
            losses[number],
            "it must return the mean squared error before the update",
            mistakes={
                "that is the loss after the update: compute it once, before the step": loss_of(
                    before[number + 1], x, target
                )
            },
        )


@exercise("predict_batch", chapter="training_loop")
def predict_batch(student: Student, generator: torch.Generator) -> None:
    """predict_batch(network, x) -> the output in evaluation mode; the network stays as it was, in
    training mode.
    """
    network = nn.Sequential(
        nn.Linear(3, 4, dtype=torch.float64), nn.BatchNorm1d(4, dtype=torch.float64)
    )
    network(normal(generator, (50, 3)) + 1)  # statistics that differ from those of the batch
    x = 2 * normal(generator, (6, 3))
    kept = copy.deepcopy(network.state_dict())
    expected = copy.deepcopy(network).eval()(x).detach()
    in_training = copy.deepcopy(network)(x).detach()
    y = student(network, x)
    equal(
        y.detach() if isinstance(y, torch.Tensor) else y,
        expected,
        "the output must be that of evaluation mode",
        mistakes={
            "batch norm uses the statistics of the batch: call network.eval() first": in_training
        },
    )
    holds(
        not y.requires_grad,
        "the output carries gradients",
        "call the network inside `with torch.no_grad():`",
    )
    state = network.state_dict()
    holds(
        all(torch.equal(state[name], kept[name]) for name in kept),
        "the network has changed",
        "in training mode, every call updates the running statistics of batch norm",
    )
    holds(
        network.training,
        "the network is not in training mode afterwards",
        "call network.train() after the prediction",
    )
