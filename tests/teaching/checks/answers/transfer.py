"""Answers to the exercises of the chapter on transfer from synthetic to real frames."""

import torch


def near(points, start, end, within, clamp=True):
    along = end - start
    share = ((points[:, None] - start) * along).sum(-1) / along.square().sum(-1)
    share = share.clamp(0, 1) if clamp else share
    return (points[:, None] - start - share[..., None] * along).norm(dim=-1) <= within


def by_one_point_each(points, start, end, within):
    """With the angles at both ends instead of a place along the bone."""
    found = 0
    for point in points:
        nearest = float("inf")
        for a, b in zip(start, end):
            if torch.dot(point - a, b - a) <= 0:
                apart = (point - a).norm()
            elif torch.dot(point - b, a - b) <= 0:
                apart = (point - b).norm()
            else:
                apart = torch.linalg.cross(point - a, point - b).norm() / (b - a).norm()
            nearest = min(nearest, apart.item())
        found += nearest <= within
    return found / len(points)


def better(base, switched):
    gain, apart = switched - base.mean(0), base.amax(0) - base.amin(0)
    return bool((gain > apart).any()) and not bool((gain < -apart).any())


def better_by_loops(base, switched):
    steps = [
        (now - sum(seeds) / len(seeds)) / (max(seeds) - min(seeds))
        for seeds, now in zip(base.T.tolist(), switched.tolist())
    ]
    return max(steps) > 1 and min(steps) >= -1


RIGHT = [
    ("covered", lambda *given: near(*given).any(1).double().mean()),
    ("covered", by_one_point_each),
    ("helps", better),
    ("helps", better_by_loops),
]


def gain(base, switched):
    return switched - base.mean(0), base.amax(0) - base.amin(0)


WRONG = [
    (
        "covered",
        lambda *given: near(*given, clamp=False).any(1).double().mean(),
        "ends at its joints",
    ),
    (
        "covered",
        lambda p, a, b, w: (torch.cdist(p, torch.cat((a, b))).amin(1) <= w).double().mean(),
        "more than its two joints",
    ),
    (
        "covered",
        lambda p, a, b, w: (torch.cdist(p, a).amin(1) <= w).double().mean(),
        "where it starts",
    ),
    ("covered", lambda *given: near(*given).any(0).double().mean(), "count points, not bones"),
    ("covered", lambda *given: near(*given).double().mean(), "one bone is enough"),
    ("covered", lambda *given: near(*given).any(1).double().sum(), "not a number of points"),
    ("covered", lambda *given: 1 - near(*given).any(1).double().mean(), "not the others"),
    ("helps", lambda b, s: bool((gain(b, s)[0] > gain(b, s)[1]).any()), "does not help"),
    ("helps", lambda b, s: bool((gain(b, s)[0] > gain(b, s)[1]).all()), "one measure is enough"),
    (
        "helps",
        lambda b, s: bool((s > b.mean(0)).any()) and not bool((s < b.mean(0)).any()),
        "the seeds differ as well",
    ),
    (
        "helps",
        lambda b, s: (
            bool((gain(b, s)[0] > b.std(0)).any()) and not bool((gain(b, s)[0] < -b.std(0)).any())
        ),
        "standard deviation",
    ),
    (
        "helps",
        lambda b, s: bool((s > b.amax(0)).any()) and not bool((s < b.amin(0)).any()),
        "mean of the seeds",
    ),
    ("helps", lambda b, s: better(-b, -s), "more is better"),
    ("covered", lambda *given: near(*given).any(1), "all points"),
    ("helps", lambda b, s: gain(b, s)[0] > gain(b, s)[1], "all measures"),
    ("helps", lambda b, s: True, "in at least one measure"),
]
