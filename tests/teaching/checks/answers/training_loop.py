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


def batch_norm(x, mean, variance, training):
    if training:
        mean, variance = x.mean(0), x.var(0, correction=0)
    return (x - mean) / (variance + 1e-5).sqrt()


def by_torch(x, mean, variance, training):
    return torch.nn.functional.batch_norm(x, mean.clone(), variance.clone(), training=training)


RIGHT = [
    ("descend", descend),
    ("descend", by_autograd),
    ("batch_norm", batch_norm),
    ("batch_norm", by_torch),
]

WRONG = [
    ("descend", lambda w, x, t, rate: w + rate * gradient(w, x, t), "increases the loss"),
    ("descend", lambda w, x, t, rate: w - rate * gradient(w, x, t) * t.numel(), "sum"),
    ("descend", lambda w, x, t, rate: w - rate * gradient(w, x, t) * t.shape[1], "rows alone"),
    ("descend", lambda w, x, t, rate: w - rate * gradient(w, x, t) / 2, "factor 2"),
    ("descend", lambda w, x, t, rate: gradient(w, x, t), "not the gradient"),
    ("descend", lambda w, x, t, rate: w - gradient(w, x, t), "scales the step"),
    ("descend", lambda w, x, t, rate: w, "have not changed"),
    ("batch_norm", lambda x, m, v, training: batch_norm(x, m, v, True), "training is False"),
    ("batch_norm", lambda x, m, v, training: batch_norm(x, m, v, False), "training is True"),
    ("batch_norm", lambda x, m, v, training: (x - m) / (v + 1e-5), "standard deviation"),
    (
        "batch_norm",
        lambda x, m, v, t: (
            batch_norm(x, x.mean(0), x.var(0), False) if t else batch_norm(x, m, v, t)
        ),
        "correction=0",
    ),
    (
        "batch_norm",
        lambda x, m, v, t: (
            batch_norm(x, x.mean(), x.var(correction=0), False) if t else batch_norm(x, m, v, t)
        ),
        "each channel",
    ),
]
