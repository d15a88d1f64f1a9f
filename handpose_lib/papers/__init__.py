"""The papers' methods by name.

    papers.names()                                        # ['densereg', 'jgr_p2o', …]
    papers.title('jgr_p2o')                               # 'JGR-P2O'
    papers.variants('jgr_p2o')                            # {'paper': '…', …}: ablation rows
    papers.create('jgr_p2o', 'nyu14', variant='paper')    # a `method.Method`
    papers.recipe('jgr_p2o', dataset='nyu', profile='paper')

Each module of this folder but `method` is a paper, imported when it is first asked for. It has
`TITLE`, `Config`, `METHOD` (its `method.Method`), `VARIANTS` (name → `method.Variant`), `DATASETS`
(names) and `recipe(dataset, profile, variant)`.
"""

from dataclasses import fields, replace
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from handpose_lib import skeleton as skeletons
from handpose_lib.errors import one_of
from handpose_lib.papers.method import PROFILES, Method, Recipe


def names() -> list[str]:
    """Return the names of all methods, sorted."""
    return sorted(module.name for module in iter_modules(__path__) if module.name != "method")


def title(name: str) -> str:
    """Return the paper's short name, as tables and figures show it."""
    return _module(name).TITLE


def variants(name: str) -> dict[str, str]:
    """Return each variant with one line that says what it is; 'paper' is the published method."""
    return {key: variant.summary for key, variant in _module(name).VARIANTS.items()}


def datasets(name: str) -> tuple[str, ...]:
    """Return the data sets that the method has recipes for."""
    return _module(name).DATASETS


def create(name: str, skeleton: str = "msra21", variant: str = "paper", **overrides: Any) -> Method:
    """Return a freshly initialised method.

    `overrides` replace fields of the variant's configuration.
    Errors: `HandPoseError` for an unknown method, skeleton, variant or field, naming what is
    accepted.
    """
    config = configuration(name, variant, **overrides)
    return _module(name).METHOD(skeletons.get(skeleton), variant, config)


def configuration(name: str, variant: str = "paper", **overrides: Any) -> Any:
    """Return the configuration with which `create` builds a method: the paper's `Config`.

    Errors: as those of `create`.
    """
    module = _module(name)
    chosen = module.VARIANTS[one_of(f"variant of {name}", variant, module.VARIANTS)]
    accepted = [field.name for field in fields(module.Config)]
    for option in overrides:
        one_of(f"option of {name}", option, accepted)
    return module.Config(**{**chosen.config, **overrides})


def recipe(
    name: str, dataset: str = "synthetic", profile: str = "laptop", variant: str = "paper"
) -> Recipe:
    """Return how to train a variant.

    `profile`: one of `method.PROFILES`: 'smoke' (a minute on a CPU), 'ablation' (reduced width, a
    few minutes), 'evidence' (the same with four times the frames), 'laptop' (at most ten minutes on
    two cores), 'paper' (the paper's own).
    Errors: `HandPoseError` for an unknown method, data set, profile or variant, naming what is
    accepted.
    """
    module = _module(name)
    one_of("profile", profile, PROFILES)
    chosen = module.VARIANTS[one_of(f"variant of {name}", variant, module.VARIANTS)]
    one_of(f"data set of {name}", dataset, module.DATASETS)
    return replace(module.recipe(dataset, profile, chosen), **chosen.training)


def _module(name: str) -> ModuleType:
    return import_module(f"{__name__}.{one_of('method', name, names())}")
