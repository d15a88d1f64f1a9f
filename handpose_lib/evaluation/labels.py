"""Joints that a person labelled on depth images: reading, conversion to mm, noise, and score.

    first = labels.read(paths.project() / "book/tables/labels/sr305-first.json")
    truth = labels.joints(first, datasets.open("sr305"))       # mm, and which joints are known
    noise = labels.disagreement(truth, labels.joints(second, frames))
    labels.score(predicted, truth, noise)                      # error of a network beside the noise

A label is a pixel (u, v) of the depth image and a kind:

surface  the skin in front of the joint is seen at this pixel
inside   the joint lies at this pixel behind another part of its own finger, such as a knuckle
         behind the tip of a finger that points at the camera

A joint that something else hides, or whose place cannot be told, has no label.

**From the pixel to the joint.** A depth camera measures skin, and a joint lies under it, on the ray
through its pixel. How far under it follows from the shape of the synthetic hand: a finger is a
chain of round cones, and the palm is the hull of the spheres at its joints. Where the bones turn
away from the camera, the distance from skin to joint along the ray is the radius at the joint;
where a bone comes towards the camera, the ray leaves through its side, which is farther. The tip
lies at the end of a finger, where depth images fray: its depth is measured in the middle of the
last sphere. The depth of a joint inside is the one at which its bones have their average lengths.
Directions of bones depend on the joints and the joints on them, so both are computed in turns.

Radii and lengths are those of the average synthetic person times the size of the hand, which
follows from the labels (`hand_size`). Without noise, clicks at the true pixels return visible
joints with a median error below 1 mm, although persons differ in thickness. On real frames the
noise of the clicks comes on top; two independent labellings measure it.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from scipy.optimize import least_squares

from handpose_lib import skeleton as skeletons
from handpose_lib.camera import uvd_to_xyz, xyz_to_uvd
from handpose_lib.datasets.base import Dataset
from handpose_lib.errors import DataError, HandPoseError, one_of
from handpose_lib.frames import DepthFrame
from handpose_lib.io import storage
from handpose_lib.skeleton import Skeleton
from handpose_lib.synth.hands import hand as hands

KINDS = ("surface", "inside")
"""What a label says about the skin at its pixel."""

SKELETON: Skeleton = skeletons.get("msra21")
"""The joints that are labelled. The first joint of the thumb is the one at its root, by the wrist.
"""

FORMAT = "hand labels 1"
ROUNDS = 5
"""How often joints and directions of bones are computed from each other."""
SPOT = 0.35
"""Radius of the spot in which the depth of the skin is measured, relative to the radius at the
joint; at least `SPOT_PIXELS`.
"""
SPOT_PIXELS = 1.5
STEP_MM = 8.0
"""Pixels of the spot that lie so far behind its nearest quarter belong to something else."""
TIP = 0.85
"""Distance from the centre of the last sphere of a finger to its tip, in radii (`synth.hands`)."""
THENAR = 0.45
"""Place of the ball of the thumb along its first bone, from the root (`synth.hands`)."""
LONGEST = 2.0
"""Longest way from a joint to its skin, in radii: with a bone that points straight at the camera it
would grow without bound, and such a joint is inside.
"""
GRID = 6
"""A cone or wedge is sampled by spheres: so many steps along each side."""


@dataclass(frozen=True)
class Label:
    """A joint at pixel (u, v) of the depth image; kind: one of `KINDS`."""

    u: float
    v: float
    kind: str = "surface"

    def __post_init__(self) -> None:
        one_of("kind of label", self.kind, KINDS)
        if not (math.isfinite(self.u) and math.isfinite(self.v)):
            raise HandPoseError(f"label at ({self.u}, {self.v}): accepted are finite pixels")


@dataclass
class Labels:
    """The labels of one person: frame id → name of a joint → `Label`.

    `dataset` and `labelled_by` are texts for the reader of the file. `windows`: frame id → (left,
    top, right, bottom), the part of the image that shows the hand, in pixels; optional.
    """

    dataset: str
    labelled_by: str
    frames: dict[str, dict[str, Label]] = field(default_factory=dict)
    windows: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(marks) for marks in self.frames.values())


@dataclass(frozen=True)
class Joints:
    """Labelled joints in mm: `xyz` (N, 21, 3) in the camera frame, `known` (N, 21) bool, `ids` N.

    Joints without a label are NaN. `size`: size of the hand relative to the average person.
    """

    ids: tuple[str, ...]
    xyz: torch.Tensor
    known: torch.Tensor
    size: float


@dataclass(frozen=True)
class Errors:
    """Distances in mm between two sets of joints, over `joints` joints that both have.

    raw_mm, median_mm: mean and median. aligned_mm, aligned_median_mm: the same after the best
    translation of each frame, which is the mean difference. per_joint_mm: name → mean;
    per_frame_mm, per_frame_aligned_mm: frame id → mean. noise_mm, noise_aligned_mm: the mean
    distances between two labellings of these frames, if given.
    """

    joints: int
    raw_mm: float
    median_mm: float
    aligned_mm: float
    aligned_median_mm: float
    per_joint_mm: dict[str, float]
    per_frame_mm: dict[str, float]
    per_frame_aligned_mm: dict[str, float]
    noise_mm: float | None = None
    noise_aligned_mm: float | None = None


# --- files --------------------------------------------------------------------


def write(path: Path | str, labels: Labels) -> Path:
    """Write labels to a JSON file, one joint per line, completely or not at all; return the path.

    Errors: `HandPoseError` for names of joints that the skeleton does not have.
    """
    frames = []
    for name, marks in labels.frames.items():
        for joint in marks:
            one_of("joint", joint, SKELETON.joints)
        lines = []
        if name in labels.windows:
            lines.append(f'   "window": {json.dumps([*labels.windows[name]])}')
        for joint in SKELETON.joints:
            if joint in marks:
                mark = marks[joint]
                value = json.dumps([round(mark.u, 2), round(mark.v, 2), mark.kind])
                lines.append(f"   {json.dumps(joint)}: {value}")
        frames.append(f"  {json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n  }")
    head = {
        "format": FORMAT,
        "dataset": labels.dataset,
        "labelled_by": labels.labelled_by,
        "skeleton": SKELETON.name,
        "label": "[u, v, kind]: pixel of the depth image; kind is surface or inside",
    }
    lines = [
        f" {json.dumps(k)}: {json.dumps(value, ensure_ascii=False)}" for k, value in head.items()
    ]
    body = ' "frames": {\n' + ",\n".join(frames) + "\n }"
    return storage.write_text(Path(path), "{\n" + ",\n".join([*lines, body]) + "\n}\n")


def read(path: Path | str) -> Labels:
    """Return the labels in a file that `write` made.

    Errors: `DataError` for a missing file, other JSON, another format or skeleton, names that are
    not known or stand twice, and labels that are not [u, v, kind]; the message names the place.
    """
    value = storage.read_json(Path(path))
    _no_repeats(Path(path))
    keys = ("format", "dataset", "labelled_by", "skeleton", "label", "frames")
    if set(value) != set(keys):
        raise DataError(f"{path}: keys {sorted(value)}; accepted are {', '.join(sorted(keys))}")
    for key, accepted in (("format", FORMAT), ("skeleton", SKELETON.name)):
        if value[key] != accepted:
            raise DataError(f"{path}: {key} {value[key]!r}; accepted is {accepted!r}")
    for key in ("dataset", "labelled_by"):
        if not isinstance(value[key], str):
            raise DataError(f"{path}: {key} {value[key]!r}; accepted is a text")
    if not isinstance(value["frames"], dict):
        raise DataError(f"{path}: frames are not an object from frame ids to labels")
    labels = Labels(value["dataset"], value["labelled_by"])
    for name, marks in value["frames"].items():
        if not isinstance(marks, dict):
            raise DataError(f"{path}, frame {name}: accepted is an object from joints to labels")
        labels.frames[name] = {}
        for joint, mark in marks.items():
            if joint == "window":
                labels.windows[name] = _window(mark, f"{path}, frame {name}")
            else:
                labels.frames[name][joint] = _label(joint, mark, f"{path}, frame {name}")
    return labels


def _no_repeats(path: Path) -> None:
    """Refuse an object that holds a name twice, of which `json` would keep only the last."""

    def check(pairs: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(f"{path}: {', '.join(twice)} stands twice; accepted is one of each")

    json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=check)


def _numbers(values: Any) -> bool:
    return all(
        isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in values
    )


def _window(value: Any, where: str) -> tuple[int, int, int, int]:
    if not (
        isinstance(value, list)
        and len(value) == 4
        and all(isinstance(v, int) and not isinstance(v, bool) for v in value)
        and value[0] < value[2]
        and value[1] < value[3]
    ):
        raise DataError(f"{where}: window {value!r}; accepted is [left, top, right, bottom]")
    return value[0], value[1], value[2], value[3]


def _label(joint: str, value: Any, where: str) -> Label:
    if joint not in SKELETON.joints:
        raise DataError(
            f"{where}: unknown joint {joint!r}; accepted are {', '.join(SKELETON.joints)}"
        )
    if not (
        isinstance(value, list) and len(value) == 3 and _numbers(value[:2]) and value[2] in KINDS
    ):
        raise DataError(
            f"{where}, {joint}: {value!r}; accepted is [u, v, kind], kind one of {', '.join(KINDS)}"
        )
    return Label(float(value[0]), float(value[1]), value[2])


# --- from pixels to mm --------------------------------------------------------


def joints(
    labels: Labels, frames: Iterable[DepthFrame] | Dataset, size: float | None = None
) -> Joints:
    """Return the labelled joints in mm; how, and how exactly, is in the text of this module.

    `frames`: those of the data set, found by their ids; other frames are passed over. `size`: of
    the hand relative to the average synthetic person, by default `hand_size` of these labels.
    Errors: `DataError` for a labelled frame that is missing, a label outside the image or where
    nothing is measured, and an inside label without a labelled neighbour.
    """
    found = _matched(labels, frames)
    size = _size(labels, found) if size is None else size
    return _joints(labels, found, size)


def hand_size(labels: Labels, frames: Iterable[DepthFrame] | Dataset) -> float:
    """Return the size of the labelled hand relative to the average synthetic person.

    It is the median ratio of bone lengths over all frames and all bones of the fingers between two
    joints with surface labels: all frames are taken to show one person. 1.0 if there is no such
    bone. Errors: as of `joints`.
    """
    return _size(labels, _matched(labels, frames))


def _matched(labels: Labels, frames: Iterable[DepthFrame] | Dataset) -> dict[str, DepthFrame]:
    found = {frame.id: frame for frame in frames if frame.id in labels.frames}
    missing = [name for name in labels.frames if name not in found]
    if missing:
        raise DataError(
            f"labelled frames that are not given: {', '.join(missing[:5])}; accepted are labels of"
            " frames of this data set"
        )
    return found


def _size(labels: Labels, found: Mapping[str, DepthFrame]) -> float:
    size = 1.0
    for _ in range(2):  # the depth under the skin depends on the size, but weakly
        ratios = _ratios(_joints(labels, found, size), labels)
        size = float(ratios.median()) if len(ratios) else 1.0
    return size


def _ratios(placed: Joints, labels: Labels) -> torch.Tensor:
    ratios = []
    for row, name in enumerate(placed.ids):
        seen = {j for j, mark in labels.frames[name].items() if mark.kind == "surface"}
        for child, parent in SKELETON.bones:
            ends = {SKELETON.joints[child], SKELETON.joints[parent]}
            if parent != SKELETON.root and ends <= seen:
                length = (placed.xyz[row, child] - placed.xyz[row, parent]).norm()
                ratios.append(length / _average().lengths[child])
    return torch.stack(ratios) if ratios else torch.zeros(0)


def _joints(labels: Labels, found: Mapping[str, DepthFrame], size: float) -> Joints:
    placed = [_place(found[name], marks, size) for name, marks in labels.frames.items()]
    xyz = torch.stack(placed) if placed else torch.zeros(0, len(SKELETON), 3)
    return Joints(tuple(labels.frames), xyz, xyz.isfinite().all(-1), size)


@dataclass(frozen=True)
class _Average:
    """The average synthetic person: `radii` (21,) at the joints, `lengths` (21,) of the bones to
    the parents, `palm` (6, 3) joints of the palm in the frame of the hand, `spheres` of the palm
    that are no joints, (x, y, z, r), and the ball of the thumb relative to its first bone.
    """

    radii: torch.Tensor
    lengths: torch.Tensor
    palm: torch.Tensor
    spheres: dict[str, torch.Tensor]
    thenar: torch.Tensor


_PALM_NAMES = ("index", "middle", "ring", "little", "thumb")
_PALM_JOINTS = [SKELETON.root] + [SKELETON.index(f"{finger} mcp") for finger in _PALM_NAMES]


@cache
def _palm_wedges() -> list[tuple[str, ...]]:
    """Return the palm of the synthetic hand, as hulls of three spheres by name."""
    _, triples, _ = hands.mesh(torch.device("cpu"))
    fixed = triples[(triples < len(hands.PALM)).all(1)]
    return [tuple(hands.SPHERES[number] for number in wedge) for wedge in fixed.tolist()]


@cache
def _average() -> _Average:
    people = hands.subjects(range(8))
    person = hands.Subject(people.palm.mean(0), people.bones.mean(0), people.radii.mean(0))
    rest = hands.posed(person, torch.zeros(1, len(hands.DOF)))
    joints, spheres = rest.joints(SKELETON.name)[0], rest.spheres[0]
    named = dict(zip(hands.SPHERES, spheres))
    radii, lengths = named["wrist radial"][3].repeat(len(SKELETON)), torch.zeros(len(SKELETON))
    for finger, members in SKELETON.fingers.items():
        radii[list(members)] = person.radii[hands.FINGERS.index(finger)]
    for child, parent in SKELETON.bones:
        lengths[child] = (joints[child] - joints[parent]).norm()
    root, second = joints[SKELETON.index("thumb mcp")], joints[SKELETON.index("thumb pip")]
    ball = named["thenar"].clone()
    ball[:3] -= root + THENAR * (second - root)
    rests = {name: named[name] for name in ("heel", "wrist radial", "wrist ulnar")}
    return _Average(radii, lengths, joints[_PALM_JOINTS], rests, ball)


def _place(frame: DepthFrame, marks: Mapping[str, Label], size: float) -> torch.Tensor:
    """Return (21, 3) mm, the joints of one frame; NaN where there is no label."""
    count, camera = len(SKELETON), frame.camera
    uv, xyz = torch.zeros(count, 2), torch.full((count, 3), math.nan)
    if not marks:
        return xyz
    for joint, mark in marks.items():
        if not (0 <= mark.u <= camera.width - 1 and 0 <= mark.v <= camera.height - 1):
            raise DataError(
                f"frame {frame.id}, {joint}: ({mark.u:g}, {mark.v:g}) lies outside the image of"
                f" {camera.width}×{camera.height} pixels"
            )
        uv[SKELETON.index(joint)] = torch.tensor([mark.u, mark.v])
    rays = uvd_to_xyz(torch.cat([uv, torch.ones(count, 1)], 1), camera)  # at a depth of 1
    radii = _average().radii * size
    known = [SKELETON.index(joint) for joint in marks]
    seen = [j for j in known if marks[SKELETON.joints[j]].kind == "surface"]
    hidden = [j for j in known if j not in seen]
    if not seen:
        raise DataError(f"frame {frame.id}: accepted are labels of which at least one is surface")

    skin = {j: _skin(frame, uv[j], radii[j].item()) for j in seen}
    depth = torch.full((count,), math.nan)
    for j in seen:
        depth[j] = skin[j] + radii[j]
    for j in hidden:
        depth[j] = _between(j, depth, frame.id)
    for _ in range(ROUNDS):
        xyz = rays * depth[:, None]
        body = _Body(xyz, radii, known, frame.hand, size)
        moved = depth.clone()
        for j in seen:
            moved[j] = (
                body.tip_depth(j, frame, skin[j])
                if body.ends[j]
                else (skin[j] + body.way(j, xyz[j]))
            )
        depth = moved
        if hidden:
            depth[hidden] = _by_length(hidden, depth, rays, known, size)
    xyz = rays * depth[:, None]
    xyz[[j for j in range(count) if j not in known]] = math.nan
    return xyz


class _Body:
    """Spheres and cones around the present estimate of the joints of one hand."""

    def __init__(
        self, xyz: torch.Tensor, radii: torch.Tensor, known: list[int], hand: str, size: float
    ):
        self.radii, self.known = radii, known
        self.spheres = torch.cat([xyz, radii[:, None]], 1)
        self.ends: list[int | None] = [None] * len(SKELETON)
        """Of a tip: the next labelled joint of its finger, otherwise None."""
        for members in SKELETON.fingers.values():
            tip = members[-1]
            before = [j for j in members[:-1] if j in known]
            if tip in known and before:
                self.ends[tip] = before[-1]
                along = xyz[tip] - xyz[before[-1]]
                along = along / along.norm().clamp_min(1e-6)
                self.spheres[tip, :3] = xyz[tip] - TIP * radii[tip] * along
        self.palm, self.turn = self._palm(xyz, hand, size)
        self.size, self.hand = size, hand

    def way(self, joint: int, start: torch.Tensor) -> torch.Tensor:
        """Return the depth in mm from `start` (3,) to the skin in front of it, near `joint`."""
        toward = start / start.norm()
        spheres = self._around(joint)
        apart = spheres[:, :3] - start
        along = -(apart @ toward)
        half = spheres[:, 3].square() - (apart + along[:, None] * toward).square().sum(1)
        met = half > 0
        if not met.any():
            return self.radii[joint]
        longest = LONGEST * self.radii[joint].item()
        return (along[met] + half[met].sqrt()).max().clamp(0, longest) * toward[2]

    def tip_depth(self, tip: int, frame: DepthFrame, otherwise: float) -> torch.Tensor:
        """Return the depth of a tip: that of its sphere, and the rest of the way along the bone."""
        centre, before = self.spheres[tip, :3], self.ends[tip]
        assert before is not None
        uv = xyz_to_uvd(centre, frame.camera)[:2]
        skin = _spot(frame, uv, self.radii[tip].item(), otherwise)
        along = centre - self.spheres[before, :3]
        along = along / along.norm().clamp_min(1e-6)
        return skin + self.way(tip, centre) + TIP * self.radii[tip] * along[2]

    def _around(self, joint: int) -> torch.Tensor:
        """Return (S, 4), spheres that sample the skin around a joint."""
        parts = []
        for child, parent in SKELETON.bones:
            ends = (child, self.ends[child] if self.ends[child] is not None else parent)
            if parent != SKELETON.root and joint in ends and set(ends) <= set(self.known):
                parts.append(_fan(self.spheres[[*ends]]))
        if joint in _PALM_JOINTS and self.palm:
            name = SKELETON.joints[joint].split()[0]
            mine = ("wrist radial", "wrist ulnar") if name == "wrist" else (name,)
            parts += [
                _fan(torch.stack([self.palm[corner] for corner in wedge]))
                for wedge in _palm_wedges()
                if set(mine) & set(wedge)
            ]
            if name == "thumb" and "thenar" in self.palm:
                parts.append(_fan(torch.stack([self.palm["thumb"], self.palm["thenar"]])))
            if name == "wrist":  # its skin is that of its two sides
                return torch.cat(parts)
        return torch.cat([self.spheres[joint : joint + 1], *parts])

    def _palm(
        self, xyz: torch.Tensor, hand: str, size: float
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Return the spheres of the palm by name, none with fewer than three labelled joints, and
        the rotation from the frame of the hand.
        """
        average, turn = _average(), torch.eye(3)
        have = [row for row, joint in enumerate(_PALM_JOINTS) if joint in self.known]
        if len(have) < 3:
            return {}, turn
        scale = size * torch.tensor([-1.0 if hand == "left" else 1.0, 1.0, 1.0])
        model, measured = average.palm * scale, xyz[_PALM_JOINTS]
        start, end = model[have].mean(0), measured[have].mean(0)
        # Kabsch: the rotation nearest to the correlation of both sets of points
        u, _, v = torch.linalg.svd((model[have] - start).T @ (measured[have] - end))
        sign = torch.sign(torch.linalg.det(u @ v))
        turn = u @ torch.diag(torch.stack([torch.ones(()), torch.ones(()), sign])) @ v

        def placed(points: torch.Tensor) -> torch.Tensor:
            return (points - start) @ turn + end

        palm = {
            name: torch.cat([placed(sphere[:3] * scale), sphere[3:] * size])
            for name, sphere in average.spheres.items()
        }
        for row, name in enumerate(_PALM_NAMES, start=1):
            joint = _PALM_JOINTS[row]
            place = xyz[joint] if joint in self.known else placed(model[row])
            palm[name] = torch.cat([place, self.radii[joint : joint + 1]])
        second = SKELETON.index("thumb pip")
        if second in self.known:
            root = palm["thumb"][:3]
            ball = root + THENAR * (xyz[second] - root) + (average.thenar[:3] * scale) @ turn
            palm["thenar"] = torch.cat([ball, average.thenar[3:] * size])
        return palm, turn


def _fan(corners: torch.Tensor) -> torch.Tensor:
    """Return (S, 4), spheres that sample the hull of two or three spheres (2 or 3, 4)."""
    return _shares(len(corners)) @ corners


@cache
def _shares(corners: int) -> torch.Tensor:
    if corners == 2:
        share = torch.linspace(0, 1, 2 * GRID + 1)[:, None]
        return torch.cat([1 - share, share], 1)
    rows = [(i, k, GRID - i - k) for i in range(GRID + 1) for k in range(GRID + 1 - i)]
    return torch.tensor(rows, dtype=torch.float32) / GRID


def _skin(frame: DepthFrame, uv: torch.Tensor, radius: float) -> float:
    """Return the depth of the skin at a pixel in mm. Errors: `DataError` where none is measured."""
    found = _spot(frame, uv, radius, math.nan)
    if not math.isfinite(found):
        raise DataError(
            f"frame {frame.id}: no surface is measured around ({uv[0]:g}, {uv[1]:g}); move the"
            " label, or leave it out"
        )
    return found


def _spot(frame: DepthFrame, uv: torch.Tensor, radius: float, otherwise: float) -> float:
    """Return the median depth of the skin in a spot around a pixel, in mm.

    The spot grows to the radius of the joint until it holds three measured pixels.
    """
    height, width = frame.depth.shape
    u, v = uv.tolist()
    middle = frame.depth[
        min(max(round(v), 0), height - 1), min(max(round(u), 0), width - 1)
    ].item() or float(frame.depth[frame.depth > 0].median())
    pixels = radius * frame.camera.fx / middle
    for reach in (max(SPOT_PIXELS, SPOT * pixels), max(SPOT_PIXELS, pixels)):
        rows = torch.arange(max(0, math.floor(v - reach)), min(height, math.ceil(v + reach) + 1))
        columns = torch.arange(max(0, math.floor(u - reach)), min(width, math.ceil(u + reach) + 1))
        depth = frame.depth[rows[:, None], columns[None]]
        near = (rows[:, None] - v) ** 2 + (columns[None] - u) ** 2 <= reach**2
        depth = depth[near & (depth > 0)]
        if len(depth) >= 3:
            return depth[depth <= depth.quantile(0.25) + STEP_MM].median().item()
    return otherwise


def _neighbours(joint: int) -> list[int]:
    """Return the labelled or unlabelled joints at the other ends of a joint's bones."""
    return [p if c == joint else c for c, p in SKELETON.bones if joint in (c, p)]


def _between(joint: int, depth: torch.Tensor, name: str) -> torch.Tensor:
    """Return a first depth of a joint inside, between the labelled joints of its finger."""
    if joint == SKELETON.root:
        members: Sequence[int] = _PALM_JOINTS
    else:
        members = next(m for m in SKELETON.fingers.values() if joint in m)
        members = (SKELETON.root, *members)
    place = members.index(joint)
    before = [j for j in members[:place] if depth[j].isfinite()][-1:]
    after = [j for j in members[place + 1 :] if depth[j].isfinite()][:1]
    around = before + after
    if not around:
        raise DataError(
            f"frame {name}, {SKELETON.joints[joint]}: inside needs a labelled joint in its finger"
        )
    return depth[around].mean()


def _by_length(
    hidden: list[int], depth: torch.Tensor, rays: torch.Tensor, known: list[int], size: float
) -> torch.Tensor:
    """Return the depths of the joints inside at which their bones have average lengths."""
    bones = [
        (child, parent)
        for child, parent in SKELETON.bones
        if {child, parent} & set(hidden) and {child, parent} <= set(known)
    ]
    lengths, start = _average().lengths * size, depth[hidden].double()

    def misfit(values: Any) -> Any:
        trial = depth.double().clone()
        trial[hidden] = torch.as_tensor(values)
        points = rays.double() * trial[:, None]
        missed = [((points[c] - points[p]).norm() - lengths[c]) for c, p in bones]
        # weak: without a bone, or where lengths say nothing, the first depth remains
        stays = 0.05 * (trial[hidden] - start)
        return torch.cat([torch.stack(missed), stays]).numpy() if missed else stays.numpy()

    return torch.as_tensor(least_squares(misfit, start.numpy()).x).to(depth)


# --- errors -------------------------------------------------------------------


def disagreement(first: Joints, second: Joints) -> Errors:
    """Return the distances in mm between two labellings: the label noise.

    It covers the joints that both have. Errors: `HandPoseError` for other frames, and no joint that
    both have.
    """
    if first.ids != second.ids:
        raise HandPoseError(
            f"labels of {len(first.ids)} and {len(second.ids)} frames with other ids: accepted are"
            " two labellings of the same frames in the same order"
        )
    return _errors(first.xyz, second.xyz, first.known & second.known, first.ids)


def score(predicted: torch.Tensor, truth: Joints, noise: Errors | None = None) -> Errors:
    """Return the error of predicted joints (N, 21, 3) mm on the labelled joints.

    `predicted`: in the order of `truth.ids`, of the skeleton msra21, in the camera frame. `noise`:
    of `disagreement`, repeated beside the error: an error can hardly be told from 0 below it.
    Errors: `HandPoseError` for other shapes, values that are not finite, and no labelled joint.
    """
    predicted = torch.as_tensor(predicted)
    if predicted.shape != truth.xyz.shape or not bool(predicted.isfinite().all()):
        raise HandPoseError(
            f"predicted has shape {tuple(predicted.shape)}: accepted are finite mm of shape"
            f" {tuple(truth.xyz.shape)}, one hand for each labelled frame"
        )
    return _errors(predicted, truth.xyz, truth.known, truth.ids, noise)


def _errors(
    first: torch.Tensor,
    second: torch.Tensor,
    known: torch.Tensor,
    ids: Sequence[str],
    noise: Errors | None = None,
) -> Errors:
    if not bool(known.any()):
        raise HandPoseError("no joint to compare: accepted are sets with at least one common joint")
    apart = (first.double() - second.double()).where(known[..., None], 0.0)
    count = known.sum(1)[:, None, None].clamp_min(1)
    raw = apart.norm(dim=-1)
    aligned = (apart - apart.sum(1, keepdim=True) / count).norm(dim=-1)

    def by_frame(distances: torch.Tensor) -> dict[str, float]:
        return {
            name: distances[row][known[row]].mean().item()
            for row, name in enumerate(ids)
            if known[row].any()
        }

    return Errors(
        joints=int(known.sum()),
        raw_mm=raw[known].mean().item(),
        median_mm=raw[known].median().item(),
        aligned_mm=aligned[known].mean().item(),
        aligned_median_mm=aligned[known].median().item(),
        per_joint_mm={
            joint: raw[:, j][known[:, j]].mean().item()
            for j, joint in enumerate(SKELETON.joints)
            if known[:, j].any()
        },
        per_frame_mm=by_frame(raw),
        per_frame_aligned_mm=by_frame(aligned),
        noise_mm=None if noise is None else noise.raw_mm,
        noise_aligned_mm=None if noise is None else noise.aligned_mm,
    )
