"""Checks for the chapter on depth cameras."""

import torch

from handpose_lib.teaching.checks import (
    Student,
    check,
    equal,
    exercise,
    holds,
    require,
    shaped,
    uniform,
)

__all__ = ["check", "require"]


@exercise("back_project", chapter="depth_cameras")
def back_project(student: Student, generator: torch.Generator) -> None:
    """back_project(depth (H, W), fx, fy, u0, v0) -> points (H, W, 3) mm."""
    depth = uniform(generator, (7, 11), 300, 900)
    fx, fy = uniform(generator, (2,), 200, 600).tolist()
    u0, v0 = uniform(generator, (2,), 3, 8).tolist()
    depth[2, 3] = depth[6, 10] = 0  # two pixels that were not measured
    points = student(depth, fx, fy, u0, v0)
    shaped(points, (7, 11, 3), "the cloud", "stack x, y and z along a new last axis")
    v, u = torch.meshgrid(torch.arange(7.0).double(), torch.arange(11.0).double(), indexing="ij")

    def cloud(a, b, fa=fx, fb=fy):
        return torch.stack((a * depth / fa, b * depth / fb, depth), -1)[measured]

    measured = depth > 0
    equal(
        points[..., 2],
        depth,
        "z of a point is not the depth of its pixel",
        "depth is measured along the optical axis: z is the depth itself, and not the length of"
        " the ray",
    )
    equal(
        points[measured],
        cloud(u - u0, v - v0),
        "a pixel does not come back when its point is projected",
        "compare with x = (u − u0) z / fx",
        mistakes={
            "u counts columns and goes with x, v counts rows and goes with y": cloud(
                v - u0, u - v0
            ),
            "subtract the principal point before multiplying": cloud(u, v),
            "pixels are counted from zero": cloud(u + 1 - u0, v + 1 - v0),
            "the centre of the first pixel is (0, 0), not (0.5, 0.5)": cloud(
                u + 0.5 - u0, v + 0.5 - v0
            ),
            "in the camera frame y points down, as v does: no minus sign": cloud(u - u0, v0 - v),
            "x has the sign of u − u0": cloud(u0 - u, v - v0),
            "divide y by fy, not by fx": cloud(u - u0, v - v0, fx, fx),
            "fx belongs to x and fy to y": cloud(u - u0, v - v0, fy, fx),
            "a point farther away lies farther from the axis: multiply by z": torch.stack(
                ((u - u0) / fx, (v - v0) / fy, depth), -1
            )[measured],
        },
    )
    holds(
        (points[~measured] == 0).all(),
        "a pixel without a measurement is not the point (0, 0, 0)",
        "with depth 0 the formulas give this by themselves, if nothing is added after multiplying"
        " by the depth",
    )
    equal(
        student(2 * depth, fx, fy, u0, v0),
        2 * points,
        "doubling the depth does not double the point",
        "every coordinate is proportional to z",
    )


@exercise("crop_camera", chapter="depth_cameras")
def crop_camera(student: Student, generator: torch.Generator) -> None:
    """crop_camera(camera (4,) [fx, fy, u0, v0], left, top, scale) -> (4,) intrinsics of the cut and
    resized image.
    """
    camera = torch.cat((uniform(generator, (2,), 200, 600), uniform(generator, (2,), 100, 300)))
    left, top = (int(value) for value in uniform(generator, (2,), 10, 60))
    scale = float(uniform(generator, (), 0.3, 0.8))
    fx, fy, u0, v0 = camera
    equal(
        student(camera, 0, 0, 1.0),
        camera,
        "cutting nothing and resizing by 1 changes the camera",
        "for left = top = 0 and scale = 1 the result is the camera that went in",
    )
    equal(
        student(camera, left, top, 1.0),
        torch.stack((fx, fy, u0 - left, v0 - top)),
        "cutting without resizing is wrong",
        "the window's first pixel was number (left, top)",
        mistakes={
            "the principal point moves against the window: subtract": torch.stack(
                (fx, fy, u0 + left, v0 + top)
            ),
            "cutting moves the principal point": camera,
            "left goes with u, top with v": torch.stack((fx, fy, u0 - top, v0 - left)),
        },
    )

    def resized(shift, half):
        u, v = (u0 - shift * left, v0 - shift * top)
        return torch.stack(
            (fx * scale, fy * scale, (u + half) * scale - half, (v + half) * scale - half)
        )

    late = torch.stack((fx * scale, fy * scale, u0 * scale - left, v0 * scale - top))
    equal(
        student(camera, left, top, scale),
        resized(1, 0.5),
        "a point of space does not fall on the resized copy of its pixel",
        "the edges of the image scale, and the centre of the first pixel lies half a pixel from the"
        " edge",
        mistakes={
            "the centre of the first pixel lies half a pixel from the edge: add 0.5, scale,"
            " subtract 0.5": resized(1, 0.0),
            "cut first, then resize: left and top count the pixels of the large image": late,
            "the principal point scales as well": torch.stack(
                (fx * scale, fy * scale, u0 - left, v0 - top)
            ),
            "the focal lengths are in pixels, so that they scale as well": torch.stack(
                (fx, fy, *resized(1, 0.5)[2:])
            ),
        },
    )
    again = student(student(camera, left, top, scale), 3, 5, 0.5)
    equal(
        again,
        student(camera, left + 3 / scale, top + 5 / scale, scale * 0.5),
        "cropping twice differs from cropping once by both",
        "left and top may be fractions of a pixel",
    )
