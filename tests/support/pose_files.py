"""Pose files built by hand, byte by byte: MATLAB arrays, zips, and a folder of published
predictions.
"""

import io
import struct
import zipfile
import zlib

import numpy as np
import torch

from handpose_lib import published
from handpose_lib.camera import xyz_to_uvd

FIGURES = {
    "nyu": {
        "V2V-PoseNet": 8.419,
        "DenseReg": 10.214,
        "Pose-REN": 11.811,
        "DeepPrior++": 12.238,
        "HandPointNet": 10.540,
        "A2J": 8.610,
    },
    "icvl": {
        "V2V-PoseNet": 6.284,
        "DenseReg": 7.239,
        "Pose-REN": 6.791,
        "REN-9x6x6": 7.305,
        "HandPointNet": 6.935,
        "A2J": 6.461,
    },
}
"""Mean joint errors in mm that the real files give."""
PRECISION = 88.018
"""Joints within 10 cm in %, A2J on ITOP's front view."""
XYZ_FILES = {"nyu": "nyu/CVPR18_NYU_denseReg_ori.txt", "icvl": "icvl/CVPR18_ICVL_denseReg_ori.txt"}


def element(kind, data, order="<"):
    """One element of a MATLAB file: a tag and its bytes, filled up to a multiple of eight."""
    return struct.pack(f"{order}II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def matrix(name, values, order="<", matlab_class=6, kind=9, stored="f8", flags=0):
    """An array as MATLAB lays it out: class and flags, dimensions, name, and the numbers column by
    column.
    """
    values = np.asarray(values)
    return element(
        14,
        b"".join(
            (
                element(6, struct.pack(f"{order}II", matlab_class | flags, 0), order),
                element(5, struct.pack(f"{order}{values.ndim}i", *values.shape), order),
                element(1, name.encode(), order),
                element(kind, values.astype(order + stored).tobytes(order="F"), order),
            )
        ),
        order,
    )


def mat(*elements, order="<"):
    """A whole MATLAB file."""
    return (
        b"MATLAB 5.0 MAT-file, by hand".ljust(124)
        + struct.pack(f"{order}H", 0x0100)
        + (b"IM" if order == "<" else b"MI")
        + b"".join(elements)
    )


def packed(part):
    """An element in its packed form, which is not filled up."""
    squeezed = zlib.compress(part)
    return struct.pack("<II", 15, len(squeezed)) + squeezed


def zipped(members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


def lines(points, names=None, separator=" ", ending="\n"):
    """Points (N, J, 3) as text, six decimals."""
    rows = [
        separator.join(f"{number:.6f}" for number in frame) for frame in points.flatten(1).tolist()
    ]
    if names is not None:
        rows = [name + separator + row for name, row in zip(names, rows)]
    return "".join(row + ending for row in rows)


def moving(frames, joints, seed=0, centre=(0.0, 0.0, 400.0), spread=60.0, step=6.0):
    """Joints (N, J, 3) mm of a hand that wanders: neighbouring frames are alike, distant ones are
    not.
    """
    draw = torch.Generator().manual_seed(seed)
    shape = spread * torch.randn(joints, 3, generator=draw, dtype=torch.float64)
    path = step * torch.randn(frames, 1, 3, generator=draw, dtype=torch.float64)
    swing = torch.sin(torch.arange(frames, dtype=torch.float64) / 5)[:, None, None] * 30
    return shape + swing + path + torch.tensor(centre, dtype=torch.float64)


def missed(joints, by, seed=1):
    """Each joint off by just so many mm, in a direction of its own; `by` a number or (N, J)."""
    draw = torch.Generator().manual_seed(seed)
    direction = torch.randn(joints.shape, generator=draw, dtype=torch.float64)
    by = torch.as_tensor(by, dtype=torch.float64)
    return joints + (by[..., None] if by.ndim else by) * direction / direction.norm(
        dim=-1, keepdim=True
    )


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def build_published(root):
    """A published folder by hand, in which every method misses each joint by just its figure."""
    for name, figures in FIGURES.items():
        benchmark = published.BENCHMARKS[name]
        camera = torch.tensor(benchmark.intrinsics, dtype=torch.float64)
        joints = moving(40, benchmark.joints)
        names = [f"seq/image_{i:04d}.png" for i in range(len(joints))]
        put(root / benchmark.labels, lines(xyz_to_uvd(joints, camera)))
        put(root / benchmark.names, "\n".join(names))
        for seed, (method, figure) in enumerate(figures.items()):
            off = missed(joints, figure, seed)
            put(root / benchmark.results[method], lines(xyz_to_uvd(off, camera)))
            if method == "DenseReg":
                put(
                    root / XYZ_FILES[name],
                    lines(off, [n.replace("/", "\\") for n in names], "\t", "\r\n"),
                )
    itop = published.BENCHMARKS["itop"]
    joints = moving(10_000, itop.joints, centre=(0.0, 0.0, 3000.0), spread=500.0)
    within = torch.arange(joints[..., 0].numel()) < round(joints[..., 0].numel() * PRECISION / 100)
    off = missed(joints, torch.where(within, 99.0, 101.0).reshape(joints.shape[:2]))
    uvd = xyz_to_uvd(off, torch.tensor(itop.intrinsics, dtype=torch.float64)) * torch.tensor(
        [1.0, 1.0, 0.001]
    )
    up = joints * torch.tensor([1.0, -1.0, 1.0]) / 1000
    put(
        root / itop.labels,
        mat(matrix("keypoints3D", up.numpy(), matlab_class=7, kind=7, stored="f4")),
    )
    put(
        root / itop.results["A2J"],
        zipped(
            {
                "train.py": b"import torch\n",
                "result.mat": mat(matrix("resultUVD", uvd.numpy())),
                "train.log": b"Epoch 1: 0.88\n",
            }
        ),
    )
    return root
