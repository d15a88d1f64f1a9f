"""Quantisation error of a heat map: what a decoding to grid points loses, whatever the training.

    quantisation_error(250 / 44)                 # mm: 44 voxels along a cube of 250 mm, arg-max
    quantisation_error(250 / 44, shift=1 / 4)    # nodes a quarter of a voxel off the cells' middles
    removable(10.37, 5.0)                        # mm that vanish from a mean error of 10.37 mm

A decoding that returns a node of the grid is wrong by the distance of the joint to that node. A
joint lies anywhere in the cell of its node with the same probability, so that the error depends on
the width of a cell, the number of axes and the place of the node in its cell, and on nothing else.
"""

from itertools import product
from math import inf, sqrt

import numpy as np

from handpose_lib.errors import HandPoseError

_POINTS = 64  # per axis and part of a cell: the sum is right to seven digits


def quantisation_error(spacing: float, dimensions: int = 3, shift: float = 0.0) -> float:
    """Return the mean distance between a point and the node that stands for it, as `spacing` in mm.

    With h = `spacing`, s = `shift` and d = `dimensions`, it is

        h · E‖u − s·1‖,    u uniform in [−1/2, 1/2]^d,

    which for s = 0 is h/4 on a line, h (√2 + arsinh 1)/6 ≈ 0.3826 h in a plane and
    h (√3/4 + ln(2 + √3)/2 − π/24)/2 ≈ 0.4803 h in space.

    spacing       distance of neighbouring nodes: the side of the cube over the number of cells
    dimensions    axes that are rounded: 1, 2 or 3
    shift         distance of the node from the middle of its cell along every axis, in cells: 0 for
                  the nearest node, 1/4 in the convention of V2V-PoseNet's code, which rounds to
                  input voxels half as wide before it draws the heat map
    Errors: `HandPoseError` for a spacing that is not above 0, other dimensions, and a node outside
    its cell.
    Source: the integral of the distance over a cube, Bailey, Borwein and Crandall 2007.
    """
    if not 0 < spacing < inf or dimensions not in (1, 2, 3) or not abs(shift) <= 1 / 2:
        raise HandPoseError(
            f"spacing {spacing}, {dimensions} dimensions, shift {shift}: accepted are a spacing"
            " above 0, 1 to 3 dimensions and a shift from −1/2 to 1/2"
        )
    # The distance has a kink at the node only. Each part of the cell has the node as a corner.
    points, weights = np.polynomial.legendre.leggauss(_POINTS)
    total = 0.0
    for lengths in product((1 / 2 - shift, 1 / 2 + shift), repeat=dimensions):
        squares, weight = np.zeros(()), np.ones(())
        for length in lengths:
            squares = np.add.outer(squares, ((points + 1) / 2 * length) ** 2)
            weight = np.multiply.outer(weight, weights / 2 * length)
        total += float((np.sqrt(squares) * weight).sum())
    return spacing * total


def removable(error: float, part: float) -> float:
    """Return how much a mean error falls if one independent part of it vanishes, in its unit.

    Independent errors add in quadrature: error² = part² + rest². That holds for root mean squares,
    and roughly for means. A part larger than the error is all of it.
    Errors: `HandPoseError` for a negative error or part.
    """
    if not (error >= 0 and part >= 0):
        raise HandPoseError(f"error {error}, part {part}: accepted are numbers from 0")
    return error - sqrt(max(error**2 - part**2, 0.0))
