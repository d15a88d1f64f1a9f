"""Answers to the exercises of the chapter that compares the papers."""

import torch


def cost(size, kernel, stride, c, d, n):
    return kernel**n * c * d + d, kernel**n * c * d * (size // stride) ** n


def cost_of_a_layer(size, kernel, stride, c, d, n):
    with torch.device("meta"):
        layer = {2: torch.nn.Conv2d, 3: torch.nn.Conv3d}[n](
            c, d, kernel, stride, padding=kernel // 2
        )
        out = layer(torch.empty(1, c, *[size] * n))
    return sum(p.numel() for p in layer.parameters()), layer.weight.numel() * out[0, 0].numel()


def front(cost, error):
    no_worse = (cost[:, None] <= cost) & (error[:, None] <= error)
    better = (cost[:, None] < cost) | (error[:, None] < error)
    return ~(no_worse & better).any(0)


def front_by_loops(cost, error):
    pairs = list(zip(cost.tolist(), error.tolist()))
    return torch.tensor(
        [not any(c <= a and e <= b and (c, e) != (a, b) for c, e in pairs) for a, b in pairs]
    )


def differ(a, b):
    return sorted(n for n in a.keys() & b.keys() if None not in (a[n], b[n]) and a[n] != b[n])


def differ_by_loops(a, b):
    found = []
    for name in sorted(a):
        if name in b and a[name] is not None and b[name] is not None and a[name] != b[name]:
            found.append(name)
    return found


RIGHT = [
    ("convolution_cost", cost),
    ("convolution_cost", cost_of_a_layer),
    ("on_front", front),
    ("on_front", front_by_loops),
    ("differences", differ),
    ("differences", differ_by_loops),
]

WRONG = [
    (
        "convolution_cost",
        lambda s, k, t, c, d, n: (k**n * c * d, cost(s, k, t, c, d, n)[1]),
        "the bias belongs to the parameters",
    ),
    (
        "convolution_cost",
        lambda s, k, t, c, d, n: (cost(s, k, t, c, d, n)[0], (k**n * c * d + d) * (s // t) ** n),
        "the bias is no multiplication",
    ),
    (
        "convolution_cost",
        lambda s, k, t, c, d, n: (cost(s, k, t, c, d, n)[0], k**n * c * d * s**n),
        "each stride skips places",
    ),
    (
        "convolution_cost",
        lambda s, k, t, c, d, n: (k**2 * c * d + d, k**2 * c * d * (s // t) ** n),
        "the kernel has as many dimensions",
    ),
    (
        "convolution_cost",
        lambda s, k, t, c, d, n: (cost(s, k, t, c, d, n)[0], k**n * c * d * (s // t) ** 2),
        "the output has as many dimensions",
    ),
    ("convolution_cost", lambda *given: cost(*given)[::-1], "the parameters first"),
    (
        "convolution_cost",
        lambda *given: (cost(*given)[0], 2 * cost(*given)[1]),
        "count each pair once",
    ),
    ("convolution_cost", lambda *given: cost(*given)[1], "return the parameters, then"),
    ("on_front", lambda c, e: ~front(c, e), "take the others"),
    (
        "on_front",
        lambda c, e: ~(((c[:, None] <= c) & (e[:, None] <= e)).fill_diagonal_(False)).any(0),
        "equal in both",
    ),
    ("on_front", lambda c, e: ~((c[:, None] < c) & (e[:, None] < e)).any(0), "beats as well"),
    ("on_front", lambda c, e: e == e.min(), "the best error alone"),
    ("on_front", lambda c, e: c == c.min(), "the cheapest alone"),
    ("on_front", lambda c, e: ~((c[:, None] < c) | (e[:, None] < e)).any(0), "no worse in both"),
    ("on_front", lambda c, e: front(c, e).double(), "a boolean tensor"),
    (
        "differences",
        lambda a, b: sorted(n for n in {*a, *b} if a.get(n) != b.get(n)),
        "names that are in both",
    ),
    (
        "differences",
        lambda a, b: sorted(n for n in a.keys() & b.keys() if a[n] != b[n]),
        "leave out what is None",
    ),
    (
        "differences",
        lambda a, b: sorted(n for n in a.keys() & b.keys() if None not in (a[n], b[n])),
        "compare the values",
    ),
    (
        "differences",
        lambda a, b: sorted(n for n in a.keys() & b.keys() if a[n] and b[n] and a[n] != b[n]),
        "not whether it is true",
    ),
    ("differences", lambda a, b: differ(a, b)[::-1], "sorted(…)"),
    ("differences", lambda a, b: {*differ(a, b)}, "sorted(…) makes one"),
]
