"""Decoding of likelihoods: effects of voxel size, width of maps, noise, and number of voxels."""

import functools
from typing import Any

import torch
from matplotlib.figure import Figure

from handpose_lib.errors import HandPoseError
from handpose_lib.nets import likelihood
from handpose_lib.prepare import voxels
from handpose_lib.skeleton import Skeleton
from handpose_lib.teaching import figures
from handpose_lib.teaching.widgets import canvas
from handpose_lib.teaching.widgets.live import Live, choice, count, number

SHARPNESS = 20.0
"""Factor of the soft-max for Gaussian maps of height 1."""


def volumes(
    n: torch.Tensor, size: int = 44, sigma: float = 1.7, noise: float = 0.0
) -> torch.Tensor:
    """Return (1, J, size, size, size), a Gaussian around each of the places `n` (J, 3) in [-1, 1]³.

    Normal noise with standard deviation `noise` is added, always the same one. Errors:
    `HandPoseError` for places of another shape, and as `likelihood.gaussian_maps`.
    """
    if n.ndim != 2 or n.shape[1] != 3:
        raise HandPoseError(f"places of shape {tuple(n.shape)}: accepted is (J, 3)")
    found = likelihood.gaussian_maps(voxels.to_voxels(n[None], size), size, sigma)
    return (
        found + noise * torch.randn(found.shape, generator=torch.Generator().manual_seed(0))
        if noise
        else found
    )


def places(volume: torch.Tensor, k: int = 27) -> dict[str, torch.Tensor]:
    """Return three decodings of `volume` (1, J, size, size, size), each (J, 3) in voxels."""
    return {
        "arg-max": likelihood.arg_max(volume)[0],
        f"top {k}": likelihood.top_k(volume, k)[0],
        "soft-argmax": likelihood.soft_arg_max(volume, SHARPNESS)[0],
    }


def errors(
    n: torch.Tensor,
    cube: float,
    size: int = 44,
    sigma: float = 1.7,
    k: int = 27,
    noise: float = 0.0,
) -> dict[str, torch.Tensor]:
    """Return the error (J,) in mm of each decoding of `volumes`, in a cube of `cube` mm."""
    true = voxels.to_voxels(n, size)
    return {
        name: (found - true).norm(dim=-1) * cube / size
        for name, found in places(volumes(n, size, sigma, noise), k).items()
    }


def picture(
    n: torch.Tensor,
    cube: float,
    size: int = 44,
    sigma: float = 1.7,
    k: int = 27,
    noise: float = 0.0,
    joint: int = 0,
) -> Figure:
    """Draw the likelihood of one joint around its peak with its decodings, and their mean errors.

    `n`: (J, 3), the joints in the cube of `cube` mm, in [-1, 1]³; other arguments as in `volumes`
    and `places`. The errors are means over all joints, in mm.
    """
    volume = volumes(n, size, sigma, noise)
    true, found = voxels.to_voxels(n, size), places(volume, k)
    figure, (left, right) = canvas.panels(2.9, 3.0, height=2.9, numbered=(1,))
    middle = true[joint].round().clamp(0, size - 1)
    left.imshow(volume[0, joint, int(middle[2])].numpy(), cmap="inferno", vmin=0, vmax=1)
    left.plot(
        *true[joint, :2].tolist(),
        "o",
        markersize=13,
        markerfacecolor="none",
        markeredgecolor="white",
        markeredgewidth=2.5,
    )
    for place, mark, colour in zip(found.values(), "+x*", figures.CYCLE):
        left.plot(*place[joint, :2].tolist(), mark, markersize=9, markeredgewidth=2, color=colour)
    reach, (u, v, _) = max(4.0, 4 * sigma), middle.tolist()
    left.set(xticks=[], yticks=[], xlim=(u - reach, u + reach), ylim=(v + reach, v - reach))
    canvas.title(left, f"{size}³ voxels of {cube / size:.1f} mm, σ = {sigma:.1f}")
    off = [((place - true).norm(dim=-1).mean() * cube / size).item() for place in found.values()]
    bars = right.barh(range(len(off)), off, height=0.45, color=figures.CYCLE[: len(off)])
    right.bar_label(bars, [f" {error:.2f} mm" for error in off])
    canvas.title(right, f"mean error over {len(n)} joints")
    right.set(xlabel="mm", yticks=[], xlim=(0, 1.5 * max(*off, cube / size)))
    right.set_ylim(len(off) - 0.6, -0.6)
    for row, name in enumerate(found):
        right.text(
            0.02, row - 0.36, name, transform=right.get_yaxis_transform(), va="center", fontsize=10
        )
    figure.set_label(
        f"the likelihood of a joint in {size}³ voxels with the true place and three read-outs, and"
        " bars of their mean error in mm"
    )
    return figure


def live(joints: torch.Tensor, centre: torch.Tensor, skeleton: Skeleton) -> Live:
    """Return `picture` with controls for cube, voxels, width, noise, K and joint.

    `joints`: (J, 3) mm in cubes around `centre` (3,) mm.
    """
    controls = {
        "cube": number("cube (mm)", 250, 120, 400, 10),
        "size": count("voxels along a side", 44, 8, 48),
        "sigma": number("σ (voxels)", 1.7, 0.3, 4, 0.1, 1),
        "k": count("K", 27, 1, 200),
        "noise": number("noise", 0, 0, 0.5, 0.02, 2),
        "joint": choice("joint", [(name, place) for place, name in enumerate(skeleton.joints)]),
    }
    return Live(functools.partial(_around, joints, centre), controls)


def _around(joints: torch.Tensor, centre: torch.Tensor, cube: float, **settings: Any) -> Figure:
    return picture((joints - centre) / (cube / 2), cube, **settings)
