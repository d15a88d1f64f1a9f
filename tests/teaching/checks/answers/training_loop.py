"""Answers to the exercises of the chapter on the training loop."""

import torch
from torch.nn import functional as F


def update_weights(network, optimiser, x, target):
    optimiser.zero_grad()
    loss = (network(x) - target).square().mean()
    loss.backward()
    optimiser.step()
    return loss.item()


def detached(network, optimiser, x, target):
    optimiser.zero_grad(set_to_none=False)
    loss = F.mse_loss(network(x), target)
    loss.backward()
    optimiser.step()
    return loss.detach()


def accumulates(network, optimiser, x, target):
    loss = F.mse_loss(network(x), target)
    loss.backward()
    optimiser.step()
    return loss.item()


def cleared_too_late(network, optimiser, x, target):
    loss = F.mse_loss(network(x), target)
    loss.backward()
    optimiser.zero_grad()
    optimiser.step()
    return loss.item()


def without_step(network, optimiser, x, target):
    optimiser.zero_grad()
    loss = F.mse_loss(network(x), target)
    loss.backward()
    return loss.item()


def summed(network, optimiser, x, target):
    optimiser.zero_grad()
    loss = F.mse_loss(network(x), target, reduction="sum")
    loss.backward()
    optimiser.step()
    return loss.item()


def with_graph(network, optimiser, x, target):
    optimiser.zero_grad()
    loss = F.mse_loss(network(x), target)
    loss.backward()
    optimiser.step()
    return loss


def loss_afterwards(network, optimiser, x, target):
    update_weights(network, optimiser, x, target)
    return F.mse_loss(network(x), target).item()


def predict_batch(network, x):
    network.eval()
    with torch.no_grad():
        y = network(x)
    network.train()
    return y


@torch.inference_mode()
def by_inference_mode(network, x):
    y = network.eval()(x)
    network.train()
    return y.clone()


def in_training_mode(network, x):
    with torch.no_grad():
        return network(x)


def stays_in_evaluation(network, x):
    with torch.no_grad():
        return network.eval()(x)


def with_gradients(network, x):
    y = network.eval()(x)
    network.train()
    return y


RIGHT = [
    ("update_weights", update_weights),
    ("update_weights", detached),
    ("predict_batch", predict_batch),
    ("predict_batch", by_inference_mode),
]

WRONG = [
    ("update_weights", accumulates, "still there"),
    ("update_weights", cleared_too_late, "stay as they were"),
    ("update_weights", without_step, "stay as they were"),
    ("update_weights", summed, "take their mean"),
    ("update_weights", with_graph, "loss.item()"),
    ("update_weights", loss_afterwards, "after the update"),
    ("predict_batch", in_training_mode, "network.eval() first"),
    ("predict_batch", stays_in_evaluation, "network.train() after"),
    ("predict_batch", with_gradients, "torch.no_grad()"),
]
