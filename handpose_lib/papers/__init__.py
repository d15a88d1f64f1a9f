"""The papers' methods by name.

    papers.names()                                        # ['densereg', 'jgr_p2o', …]
    papers.variants('jgr_p2o')                            # {'paper': '…', …}: every row of its
                                                          ablation tables
    papers.create('jgr_p2o', 'nyu14', variant='paper')    # a `method.Method`
    papers.recipe('jgr_p2o', dataset='nyu', profile='paper')

Each module of this folder but `method` is a paper, imported when it is first asked for. It has
`VARIANTS` (name → one line and the overrides), `DATASETS`, `create(skeleton, variant, **overrides)`
and `recipe(dataset, profile, variant)`.
"""

from importlib import import_module
from pkgutil import iter_modules

from handpose_lib import skeleton as skeletons
from handpose_lib.errors import one_of
from handpose_lib.papers.method import PROFILES


def names() -> list[str]:
    """Every method there is."""
    return sorted(module.name for module in iter_modules(__path__) if module.name != "method")


def variants(name: str) -> dict[str, str]:
    """Variant → one line that says what it is; 'paper' is the method as published."""
    return {variant: summary for variant, (summary, _) in _module(name).VARIANTS.items()}


def create(name: str, skeleton: str = "msra21", variant: str = "paper", **overrides):
    """A freshly initialised `method.Method`; `overrides` replace fields of the variant's
    configuration.

    Errors: `HandPoseError` for an unknown method, skeleton, variant or field, naming what is
    accepted.
    """
    module = _module(name)
    return module.create(
        skeletons.get(skeleton), one_of(f"variant of {name}", variant, module.VARIANTS), **overrides
    )


def recipe(name: str, dataset: str = "synthetic", profile: str = "laptop", variant: str = "paper"):
    """How to train a variant: a `method.Recipe`.

    `profile`: one of `method.PROFILES`: 'smoke' (a minute on a CPU), 'ablation'
    (reduced width, a few minutes), 'laptop' (at most ten minutes on two cores), 'paper'
    (the paper's own).
    Errors: `HandPoseError` for an unknown method, data set, profile or variant, naming what is
    accepted.
    """
    module = _module(name)
    one_of("profile", profile, PROFILES)
    one_of(f"variant of {name}", variant, module.VARIANTS)
    return module.recipe(one_of(f"data set of {name}", dataset, module.DATASETS), profile, variant)


def _module(name: str):
    return import_module(f"{__name__}.{one_of('method', name, names())}")
