"""Answers to the exercises of the chapter on the network for real depth images."""


def nearest(points, a, radius_a, b, radius_b, sign=1, ends=True):
    axis = b - a
    length = axis.norm()
    slope = (radius_b - radius_a) / length
    along = (points - a) @ axis / length
    height = ((points - a).square().sum(-1) - along**2).clamp_min(0).sqrt()
    share = (along + sign * height * slope / (1 - slope**2) ** 0.5) / length
    share = share.clamp(0, 1) if ends else share
    away = (points - a - share[:, None] * axis).norm(dim=-1)
    return away, radius_a + share * (radius_b - radius_a)


def cone_distance(points, a, radius_a, b, radius_b):
    away, radius = nearest(points, a, radius_a, b, radius_b)
    return away - radius


def without(**options):
    def answer(*cone):
        away, radius = nearest(*cone, **options)
        return away - radius

    return answer


def correlation(a, b):
    a, b = a - a.mean(), b - b.mean()
    return (a * b).sum() / (a.square().sum() * b.square().sum()).sqrt()


def ranks(x):
    return x.argsort().argsort().double()


def rank_correlation(a, b):
    return correlation(ranks(a), ranks(b))


def by_counting(a, b):
    return correlation(*((x[:, None] > x).sum(1).double() for x in (a, b))).item()


RIGHT = [
    ("cone_distance", cone_distance),
    ("rank_correlation", rank_correlation),
    ("rank_correlation", by_counting),
]

WRONG = [
    ("cone_distance", without(sign=0), "shift it"),
    ("cone_distance", without(sign=-1), "larger end"),
    ("cone_distance", without(ends=False), "between 0 and 1"),
    ("cone_distance", lambda *cone: nearest(*cone)[0], "subtract the radius"),
    ("cone_distance", lambda *cone: -cone_distance(*cone), "negative inside"),
    ("cone_distance", lambda *cone: cone_distance(*cone).abs(), "absolute value"),
    ("cone_distance", lambda p, a, r, b, s: nearest(p, a, r, b, s)[0] - r, "changes along"),
    ("rank_correlation", correlation, "replace them by their ranks"),
    (
        "rank_correlation",
        lambda a, b: correlation(a.argsort().double(), b.argsort().double()),
        "once more",
    ),
    ("rank_correlation", lambda a, b: rank_correlation(a, b) ** 2, "lost its sign"),
    ("rank_correlation", lambda a, b: -rank_correlation(a, b), "sign is wrong"),
]
