"""How fast is a hand rendered? Exact ray casting of round cones against the same hand as a triangle
mesh.

    python tests/benchmarks/render.py                  # a minute on two CPU cores
    python tests/benchmarks/render.py --device cuda    # ray caster on a GPU, mesh on the CPU

Prints a table and the same as JSON. Both sides pose the hands, build the scenes and cast 320 x 240
rays through the camera of MSRA; the mesh goes through Open3D's RaycastingScene (Embree). What is
compared runs in turns, a few rounds, and the median of the rounds counts, so that a busy machine
disturbs both sides alike. Mesh and ray caster of like accuracy: the coarsest mesh with a mean error
below 0.1 mm. The whole chain with surroundings and sensors is timed for comparison.
"""

import argparse
import json
import resource
import sys
import time
from statistics import median

import torch

from handpose_lib import synth
from handpose_lib.camera import pixel_grid
from handpose_lib.dataset_specs import preset
from handpose_lib.synth import hashing
from handpose_lib.synth.hands import hand, poses
from handpose_lib.synth.scene import raycast

CAMERA, BATCH, ROUNDS, TURN = preset("msra"), 64, 5, 0.5
LIKE_MM = 0.1
# Vertices around a round cone, and rings on each of its two spheres.
MESHES = {"coarse": (8, 3), "medium": (16, 5), "fine": (32, 9)}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ... for the ray caster")
    parser.add_argument(
        "--mesh-frames", type=int, default=8, help="frames per round that each mesh is timed on"
    )
    chosen = parser.parse_args()
    device = torch.device(chosen.device)

    hands = Hands(device)
    start = peak_rss()
    exact = hands.cast(slice(0, BATCH)).cpu()
    ours_peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else peak_rss() - start
    meshes = {name: Mesh(hands, *fineness) for name, fineness in MESHES.items()}
    jobs = {
        "batch": (BATCH, lambda: hands.cast(slice(0, BATCH))),
        "single": (16, lambda: [hands.cast(slice(i, i + 1)) for i in range(16)]),
        "wide": (BATCH, lambda: synth.frames(range(BATCH), device=device)),
        "msra_like": (
            BATCH,
            lambda: synth.frames(range(BATCH), distribution="msra_like", device=device),
        ),
    }
    jobs |= {
        name: (chosen.mesh_frames, lambda m=mesh: m.cast(chosen.mesh_frames))
        for name, mesh in meshes.items()
    }
    rates = in_turns(jobs, device)

    found = {
        "device": device_name(device),
        "image": [CAMERA.width, CAMERA.height],
        "primitives": hands.primitives,
        "raycast": {
            "frames_per_second_batch_64": rates["batch"],
            "frames_per_second_single": rates["single"],
            "peak_memory_bytes": ours_peak,
        },
        "frames": {name: rates[name] for name in ("wide", "msra_like")},
        "mesh": {},
    }
    for name, mesh in meshes.items():
        images = mesh.cast(chosen.mesh_frames)
        truth = exact[: chosen.mesh_frames]
        common = (images > 0) & (truth > 0)
        error = float((images - truth)[common].abs().mean())
        found["mesh"][name] = {
            "triangles": mesh.triangles,
            "mean_error_mm": error,
            "frames_per_second": rates[name],
            "ratio": rates["batch"] / rates[name],
        }
    alike = [m for m in found["mesh"].values() if m["mean_error_mm"] < LIKE_MM]
    found["ratio_at_like_accuracy"] = alike[0]["ratio"] if alike else None
    found["peak_rss_bytes_with_open3d"] = peak_rss()
    print(table(found))
    print(json.dumps(found, indent=1))
    return 0


class Hands:
    """64 hands of different persons in different poses, in front of the camera."""

    def __init__(self, device: torch.device):
        key = hashing.keys(0, range(BATCH))
        self.persons = hand.subjects([i % 9 for i in range(BATCH)]).to(device)
        angles = poses.sample(
            hashing.uniform(key, "angles", poses.UNIFORMS).to(device), self.persons
        )
        u = (hashing.uniform(key, "view", 6) - 0.5).to(device)
        place = u[:, :3] * u.new_tensor([80.0, 60.0, 160.0]) + u.new_tensor([0.0, 40.0, 400.0])
        self.pose = poses.assemble(angles, place, 4 * u[:, 3], 2 * u[:, 4], 6 * u[:, 5])
        solids = self.solids(slice(0, 1))
        assert solids.triangles is not None
        self.primitives = {
            "round cones": solids.cones.shape[1],
            "triangles": solids.triangles.shape[1],
        }

    def solids(self, rows: slice) -> raycast.Solids:
        return hand.posed(self.persons.index(rows), self.pose[rows], forearm=60.0).solids()

    def cast(self, rows: slice) -> torch.Tensor:
        return raycast.depth(self.solids(rows), CAMERA)


class Mesh:
    """The same hands as triangles: every round cone in rings, together with the flat patches
    between them.
    """

    def __init__(self, hands: Hands, around: int, rings: int):
        import open3d  # pyright: ignore[reportMissingImports]  # extra "bench"

        self.open3d, self.hands, self.around, self.rings = open3d, hands, around, rings
        uv = pixel_grid(CAMERA.height, CAMERA.width, torch.zeros(1))
        x, y = (uv[..., 0] - CAMERA.u0) / CAMERA.fx, (uv[..., 1] - CAMERA.v0) / CAMERA.fy
        # The third entry of the direction is 1, so that the distance along the ray is the depth.
        rays = torch.stack([torch.zeros_like(x)] * 3 + [x, y, torch.ones_like(x)], dim=-1)
        self.rays = open3d.core.Tensor.from_numpy(rays.numpy())
        self.triangles = len(self.mesh(hands.solids(slice(0, 1)))[1])

    def cast(self, count: int) -> torch.Tensor:
        images = []
        for i in range(count):
            corners, faces = self.mesh(self.hands.solids(slice(i, i + 1)))
            scene = self.open3d.t.geometry.RaycastingScene()
            core = self.open3d.core.Tensor
            scene.add_triangles(
                core.from_numpy(corners.numpy()), core.from_numpy(faces.numpy().astype("uint32"))
            )
            images.append(torch.from_numpy(scene.cast_rays(self.rays)["t_hit"].numpy()))
        images = torch.stack(images)
        return torch.where(images.isfinite(), images, 0)

    def mesh(self, solids: raycast.Solids) -> tuple[torch.Tensor, torch.Tensor]:
        """Corners (V, 3) and faces (F, 3) of one scene."""
        assert solids.triangles is not None
        cones, flats = solids.cones[0].cpu(), solids.triangles[0].cpu().reshape(-1, 3)
        a, ra, b, rb = cones[:, None, None].split([3, 1, 3, 1], dim=-1)
        length = (b - a).norm(dim=-1, keepdim=True).clamp_min(1e-6)
        w = (b - a) / length
        helper = torch.where(
            w[..., :1].abs() < 0.9, torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0])
        )
        u = torch.linalg.cross(w, helper.expand_as(w))
        u = u / u.norm(dim=-1, keepdim=True)
        v = torch.linalg.cross(w, u)
        # A normal at less than this angle above the middle belongs to sphere a, above it to sphere
        # b.
        seam = torch.asin(((ra - rb) / length).clamp(-1, 1))
        steps = torch.linspace(0, 1, self.rings + 1)[:, None, None]
        low, high = (
            -torch.pi / 2 + steps * (seam + torch.pi / 2),
            seam + steps * (torch.pi / 2 - seam),
        )
        angle = 2 * torch.pi * torch.arange(self.around)[:, None] / self.around
        outwards = torch.cos(angle) * u + torch.sin(angle) * v
        rows = [
            c + r * (torch.cos(t) * outwards + torch.sin(t) * w)
            for c, r, t in ((a, ra, low), (b, rb, high))
        ]
        corners = torch.cat(rows, dim=1)
        n, rings, around, _ = corners.shape
        k = torch.arange(n * rings * around).reshape(n, rings, around)
        p, q, s, t = k[:, :-1], k[:, 1:], k[:, :-1].roll(-1, 2), k[:, 1:].roll(-1, 2)
        faces = torch.cat(
            [torch.stack([p, s, q], -1).reshape(-1, 3), torch.stack([s, t, q], -1).reshape(-1, 3)]
        )
        flat = torch.arange(len(flats)).reshape(-1, 3) + n * rings * around
        return torch.cat([corners.reshape(-1, 3), flats]).contiguous(), torch.cat([faces, flat])


def in_turns(jobs: dict, device: torch.device) -> dict[str, float]:
    """Frames per second of each job (frames, call): the median over rounds in which all take turns
    of `TURN` seconds.
    """
    rates = {name: [] for name in jobs}
    for _ in range(ROUNDS):
        for name, (frames, call) in jobs.items():
            call()  # memory and caches belong to this job again
            begin, done = time.perf_counter(), 0
            while done == 0 or time.perf_counter() - begin < TURN:
                call()
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                done += frames
            rates[name].append(done / (time.perf_counter() - begin))
    return {name: median(found) for name, found in rates.items()}


def device_name(device: torch.device) -> str:
    return (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"CPU, {torch.get_num_threads()} threads"
    )


def peak_rss() -> int:
    """Bytes; Linux counts in kilobytes, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def table(found: dict) -> str:
    ours, whole = found["raycast"], found["frames"]
    lines = [
        f"{found['device']}, {CAMERA.width} x {CAMERA.height} pixels, "
        + " and ".join(f"{n} {kind}" for kind, n in found["primitives"].items()),
        f"{'':34}{'frames/s':>10}{'error mm':>10}{'ratio':>8}",
        f"{'ray caster, batches of 64':34}{ours['frames_per_second_batch_64']:10.0f}"
        f"{0:10.3f}{1:8.1f}",
        f"{'ray caster, one at a time':34}{ours['frames_per_second_single']:10.0f}{0:10.3f}",
    ]
    for name, mesh in found["mesh"].items():
        title = f"mesh, {name}, {mesh['triangles']} triangles"
        lines.append(
            f"{title:34}{mesh['frames_per_second']:10.0f}{mesh['mean_error_mm']:10.3f}"
            f"{mesh['ratio']:8.1f}"
        )
    lines += [
        f"{'frames(), clean (msra_like)':34}{whole['msra_like']:10.0f}",
        f"{'frames(), surroundings and sensors':34}{whole['wide']:10.0f}",
        f"peak memory of a batch of 64: {ours['peak_memory_bytes'] / 2**20:.0f} MiB",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
