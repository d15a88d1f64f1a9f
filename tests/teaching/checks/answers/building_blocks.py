"""Answers to the exercises of the chapter on building blocks."""

from torch import nn

from handpose_lib.nets.spatial import gather, spatial_softmax


def conv_parameters(kernel, dimensions, i, o, bias):
    return sum(
        p.numel()
        for p in {2: nn.Conv2d, 3: nn.Conv3d}[dimensions](i, o, kernel, bias=bias).parameters()
    )


def hourglass_sides(size, depth):
    return [size, *hourglass_sides(-(-size // 2), depth - 1), size] if depth else [size]


def down(size, depth):
    return hourglass_sides(size, depth)[: depth + 1]


def attention_pool(scores, features):
    return gather(spatial_softmax(scores[:, None]), features)[:, 0]


def pooled(weights, features):
    return (weights[:, None] * features).sum((2, 3))


def graph_convolution(features, edges, weight):
    return (edges @ features @ weight).relu()


RIGHT = [
    ("conv_parameters", conv_parameters),
    ("hourglass_sides", hourglass_sides),
    ("attention_pool", attention_pool),
    ("graph_convolution", graph_convolution),
]

WRONG = [
    ("conv_parameters", lambda k, n, i, o, b: k**n * (i + o) + b * o, "multiply the two"),
    ("conv_parameters", lambda k, n, i, o, b: k * n * i * o + b * o, "as wide in every dimension"),
    ("conv_parameters", lambda k, n, i, o, b: k**2 * i * o + b * o, "three sides"),
    ("conv_parameters", lambda k, n, i, o, b: k**n * i * o + b * i, "one number per output"),
    ("conv_parameters", lambda k, n, i, o, b: k**n * i * o, "one more number"),
    ("conv_parameters", lambda k, n, i, o, b: k**n * i * o + o, "only with bias"),
    (
        "hourglass_sides",
        lambda s, d: [s // 2**k for k in (*range(d + 1), *range(d - 1, -1, -1))],
        "rounded up",
    ),
    ("hourglass_sides", down, "before the enlargement"),
    ("hourglass_sides", lambda s, d: down(s, d) + down(s, d)[::-1], "appears once"),
    (
        "hourglass_sides",
        lambda s, d: down(s, d) + [2 * x - 1 for x in down(s, d)[-2::-1]],
        "the side that each level had",
    ),
    ("hourglass_sides", lambda s, d: s, "not a list"),
    ("attention_pool", lambda s, f: pooled(s.softmax(-1), f), "each row"),
    ("attention_pool", lambda s, f: pooled(s.exp(), f), "that is a sum"),
    ("attention_pool", lambda s, f: f.mean((2, 3)), "plain mean"),
    ("attention_pool", lambda s, f: pooled(s.sigmoid(), f), "use a soft-max over all pixels"),
    ("attention_pool", lambda s, f: attention_pool(s, f) / 20, "no further division"),
    ("graph_convolution", lambda f, a, w: a @ f @ w, "ReLU is missing"),
    ("graph_convolution", lambda f, a, w: graph_convolution(f, a.T, w), "no transpose"),
    ("graph_convolution", lambda f, a, w: (f @ w).relu(), "edges are missing"),
    ("graph_convolution", lambda f, a, w: a @ (f @ w).relu(), "comes last"),
]
