"""Answers to the exercises of the chapter on depth cameras."""

import torch


def back_project_vectorised(depth, fx, fy, u0, v0):
    v = torch.arange(depth.shape[0], dtype=depth.dtype)[:, None]
    u = torch.arange(depth.shape[1], dtype=depth.dtype)
    return torch.stack(((u - u0) * depth / fx, (v - v0) * depth / fy, depth), -1)


def back_project_looped(depth, fx, fy, u0, v0):
    points = torch.zeros(*depth.shape, 3)  # float32 although the depth is float64: that is fine
    for v in range(depth.shape[0]):
        for u in range(depth.shape[1]):
            z = float(depth[v, u])
            points[v, u] = torch.tensor([(u - u0) * z / fx, (v - v0) * z / fy, z])
    return points


def crop_camera_vectorised(camera, left, top, scale):
    shift = torch.tensor([left, top], dtype=camera.dtype)
    return torch.cat((camera[:2] * scale, (camera[2:] - shift + 0.5) * scale - 0.5))


def crop_camera_by_edges(camera, left, top, scale):
    """The principal point follows from where the two edges of one pixel land."""
    fx, fy, u0, v0 = camera.tolist()
    edge = (u0 - left) * scale + (scale - 1) / 2, (v0 - top) * scale + (scale - 1) / 2
    return torch.tensor([fx * scale, fy * scale, *edge])


def grid(depth):
    v, u = torch.meshgrid(*(torch.arange(n, dtype=depth.dtype) for n in depth.shape), indexing="ij")
    return u, v


def back_project_with(x, y):
    def function(depth, fx, fy, u0, v0):
        u, v = grid(depth)
        return torch.stack(
            (x(u, v, depth, fx, fy, u0, v0), y(u, v, depth, fx, fy, u0, v0), depth), -1
        )

    return function


def right_x(u, v, z, fx, fy, u0, v0):
    return (u - u0) * z / fx


def right_y(u, v, z, fx, fy, u0, v0):
    return (v - v0) * z / fy


def changes_input(depth, fx, fy, u0, v0):
    depth += 0.0001
    return back_project_vectorised(depth, fx, fy, u0, v0)


def along_the_ray(depth, fx, fy, u0, v0):
    points = back_project_vectorised(depth, fx, fy, u0, v0)
    return torch.where(
        depth[..., None] > 0,
        torch.nn.functional.normalize(points, dim=-1) * depth[..., None],
        points,
    )


def crop_with(half=0.5, sign=-1, late=False, focal=True):
    def function(camera, left, top, scale):
        shift = torch.tensor([left, top], dtype=camera.dtype) * sign
        point = camera[2:] * scale + shift if late else (camera[2:] + shift + half) * scale - half
        return torch.cat((camera[:2] * (scale if focal else 1), point))

    return function


RIGHT = [
    ("back_project", back_project_vectorised),
    ("back_project", back_project_looped),
    ("crop_camera", crop_camera_vectorised),
    ("crop_camera", crop_camera_by_edges),
]


WRONG = [
    ("back_project", lambda *given: None, "return"),
    ("back_project", changes_input, "in place"),
    ("back_project", lambda depth, fx, fy, u0, v0: depth, "new last axis"),
    ("back_project", lambda depth: depth, "called with"),
    (
        "back_project",
        back_project_with(lambda u, v, *r: right_x(v, u, *r), lambda u, v, *r: right_y(v, u, *r)),
        "u counts columns",
    ),
    (
        "back_project",
        back_project_with(
            lambda u, v, z, fx, fy, u0, v0: u * z / fx, lambda u, v, z, fx, fy, u0, v0: v * z / fy
        ),
        "subtract the principal point",
    ),
    (
        "back_project",
        back_project_with(
            lambda u, v, *r: right_x(u + 1, v, *r), lambda u, v, *r: right_y(u, v + 1, *r)
        ),
        "from zero",
    ),
    (
        "back_project",
        back_project_with(
            lambda u, v, *r: right_x(u + 0.5, v, *r), lambda u, v, *r: right_y(u, v + 0.5, *r)
        ),
        "(0, 0)",
    ),
    ("back_project", back_project_with(right_x, lambda *g: -right_y(*g)), "y points down"),
    (
        "back_project",
        back_project_with(right_x, lambda u, v, z, fx, fy, u0, v0: (v - v0) * z / fx),
        "by fy",
    ),
    (
        "back_project",
        back_project_with(
            lambda u, v, z, fx, fy, u0, v0: (u - u0) / fx,
            lambda u, v, z, fx, fy, u0, v0: (v - v0) / fy,
        ),
        "multiply by z",
    ),
    ("back_project", along_the_ray, "optical axis"),
    (
        "back_project",
        lambda depth, *given: (
            back_project_vectorised(depth, *given)
            + (depth == 0)[..., None] * torch.tensor([1.0, 0, 0])
        ),
        "nothing is added",
    ),
    ("crop_camera", crop_with(sign=1), "subtract"),
    ("crop_camera", crop_with(half=0.0), "half a pixel"),
    ("crop_camera", crop_with(late=True), "cut first"),
    ("crop_camera", crop_with(focal=False), "focal lengths are in pixels"),
    (
        "crop_camera",
        lambda camera, left, top, scale: torch.cat(
            (camera[:2] * scale, camera[2:] - torch.tensor([left, top]))
        ),
        "principal point scales",
    ),
    (
        "crop_camera",
        lambda camera, left, top, scale: crop_with()(camera, top, left, scale),
        "left goes with u",
    ),
]
