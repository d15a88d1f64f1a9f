"""Records of trainings that never took place, saved with predictions of a known error."""

from typing import Any

import torch

from handpose_lib.dataset_specs import preset
from handpose_lib.evaluation import metrics
from handpose_lib.io import coordinates, provenance
from handpose_lib.results import records

FRAMES = 60
CODE = {
    "modules": ["handpose_lib.errors"],
    "digest": provenance.digest(provenance.closure("handpose_lib.errors")),
}


def truth() -> torch.Tensor:
    """Return the true joints of all trainings, (N, J, 3) mm."""
    generator = torch.Generator().manual_seed(7)
    return torch.rand(FRAMES, 21, 3, generator=generator) * 100 + torch.tensor([-50, -50, 350.0])


def predictions(error: float, noise: int = 0) -> torch.Tensor:
    """Return joints whose mean distance to the true ones is `error` mm on average over frames."""
    generator = torch.Generator().manual_seed(noise)
    length = error + 0.2 * torch.randn(FRAMES, 1, 1, generator=generator)
    way = torch.randn(FRAMES, 21, 3, generator=generator)
    return truth() + length * way / way.norm(dim=-1, keepdim=True)


def facts(predicted: torch.Tensor, joints: torch.Tensor) -> dict[str, Any]:
    """Return the fields of a training of JGR-P2O that predicted `predicted` for `joints`, mm."""
    return {
        "schema": records.SCHEMA,
        "kind": "training",
        "method": "jgr_p2o",
        "variant": "paper",
        "profile": "laptop",
        "dataset": {
            "name": "msra",
            "synthetic": True,
            "fingerprint": "0011223344556677",
            "camera": preset("msra").intrinsics().double().tolist(),
            "labels": "",
        },
        "protocol": {
            "joints": "msra21",
            "split": "test",
            "subject": 8,
            "centre": "mass",
            "cube": 250.0,
            "frames": len(joints),
            "checkpoint": "last",
        },
        "seed": 0,
        "device": {"type": "cpu", "name": "a processor", "threads": 1},
        "versions": {"python": "3.11"},
        "code": CODE,
        "created": "2020-01-01T00:00:00Z",
        "recipe": {"schedule": "cosine"},
        "training": {
            "frames": 800,
            "seconds": 300.0,
            "source": {"kind": "stored", "centre": "mass", "protocol": {"split": "train"}},
            "config": {},
        },
        "inference": {},
        "parameters": 10,
        "curve": [],
        "metrics": metrics.summary(predicted, joints),
        "baselines": {},
        "files": {"predictions": coordinates.STEP_MM, "read_outs": [], "weights": None},
    }


def training(folder, variant="paper", error=5.0, seed=0, config=None, read_outs=None, **changes):
    """Return a saved record of a training of JGR-P2O.

    `error`: of its predictions, and `read_outs` those of further ones, mm; `config`: fields of its
    configuration; `changes`: fields of the record.
    """
    predicted, joints = predictions(error, seed), truth()
    known = facts(predicted, joints)
    known["training"]["config"] = config or {}
    record = records.Record({**known, "variant": variant, "seed": seed, **changes})
    return records.save(
        record,
        folder / record.key,
        predicted=predicted,
        joints=joints,
        ids=[f"frame {number}" for number in range(FRAMES)],
        read_outs={name: predictions(mm, seed) for name, mm in (read_outs or {}).items()},
    )
