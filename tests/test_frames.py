"""The two containers refuse what does not fit."""

from typing import Any

import pytest
import torch

from handpose_lib.camera import Camera
from handpose_lib.errors import HandPoseError
from handpose_lib.frames import Crops, DepthFrame

CAMERA = Camera(100, 100, 2, 2, 5, 4)


def test_a_frame_refuses_what_does_not_fit():
    depth = torch.zeros(4, 5)
    DepthFrame(depth, CAMERA, joints=torch.zeros(21, 3), centre=torch.zeros(3))
    right: dict[str, Any] = {"depth": depth, "camera": CAMERA, "id": "7"}
    unfit: tuple[dict[str, Any], ...] = (
        dict(depth=depth.T),
        dict(depth=depth - 1),
        dict(depth=depth * float("nan")),
        dict(joints=torch.zeros(21, 2)),
        dict(joints=torch.full((1, 3), float("inf"))),
        dict(centre=torch.zeros(1, 3)),
        dict(hand="both"),
    )
    for wrong in unfit:
        with pytest.raises(HandPoseError):
            DepthFrame(**(right | wrong))


def test_rows_of_a_batch_keep_their_names():
    n = 5
    crops = Crops(
        torch.rand(n, 8, 8),
        torch.rand(n, 2),
        torch.rand(n, 4),
        torch.rand(n, 3),
        torch.rand(n),
        torch.rand(n),
        torch.rand(n),
        torch.ones(n),
        torch.rand(n, 21, 3),
        [str(i) for i in range(n)],
    )
    for rows in (
        slice(1, 4),
        torch.tensor([4, 0]),
        torch.tensor([True, False, False, True, False]),
    ):
        chosen = crops.index(rows)
        assert chosen.joints is not None and crops.joints is not None
        assert torch.equal(chosen.joints, crops.joints[rows]) and len(chosen) == len(chosen.ids)
        assert [crops.ids.index(i) for i in chosen.ids] == torch.arange(n)[rows].tolist()
