"""Answers to the exercises of the chapter on the training loop."""

import torch


def gradient(weight, x, target):
    error = x @ weight.T - target
    return 2 * error.T @ x / error.numel()


def descend(weight, x, target, rate):
    return weight - rate * gradient(weight, x, target)


def by_autograd(weight, x, target, rate):
    weight = weight.detach().requires_grad_()
    loss = torch.nn.functional.mse_loss(x @ weight.T, target)
    (slope,) = torch.autograd.grad(loss, weight)
    return (weight - rate * slope).detach()


RIGHT = [("descend", descend), ("descend", by_autograd)]

WRONG = [
    ("descend", lambda w, x, t, rate: w + rate * gradient(w, x, t), "climbs"),
    ("descend", lambda w, x, t, rate: w - rate * gradient(w, x, t) * t.numel(), "sum"),
    ("descend", lambda w, x, t, rate: w - rate * gradient(w, x, t) * t.shape[1], "rows alone"),
    ("descend", lambda w, x, t, rate: w - rate * gradient(w, x, t) / 2, "factor 2"),
    ("descend", lambda w, x, t, rate: gradient(w, x, t), "not the gradient"),
    ("descend", lambda w, x, t, rate: w - gradient(w, x, t), "scales the step"),
    ("descend", lambda w, x, t, rate: w, "stay as they were"),
]
