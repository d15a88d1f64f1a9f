"""Finding the hand among other things: a small hourglass that detects its joints in the whole
image, and a second look.

    detector = trained.load("hand_detector")                        # the book's
    centre = prepare.locate(depth, camera, detector=detector)       # (B, 3) mm
    hand_detector.success_rates({"detector": detector, "mass": None})    # in cluttered frames

After DenseReg (section 4.3), which finds the hands of NYU with a joint detector of one stack: a 2D
heat map per joint of the image as a whole, and the median of their peaks is the hand. Two things
are ours. One more map says how far the hand's centre lies behind what a pixel shows, and the median
over the joints counts. And a second network looks at cubes at the camera's own resolution, as
DeepPrior++ (section 3) corrects its reference points: it says which of the places where joints
agree is the hand, and where in its cube the joints are, there in several views of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import pi

import torch
import torch.nn.functional as F
from torch import nn

from handpose_lib import evaluation, prepare, synth, training
from handpose_lib.camera import uvd_to_xyz, xyz_to_uvd
from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.frames import Crops
from handpose_lib.hand_detection.learning import learn
from handpose_lib.io.background import in_background
from handpose_lib.nets.blocks import Conv, conv_bn_relu, initialise
from handpose_lib.nets.bottleneck import Bottleneck
from handpose_lib.nets.heatmap import cones, peaks
from handpose_lib.nets.hourglass import Hourglass
from handpose_lib.prepare.locate import METHODS, NEAR, as_cameras

FOCAL = 120.0
"""Focal length in pixels to which images are thinned out: a hand has about the same size whatever
the camera.
"""
FAR = 1500.0
"""Depth in mm from which nothing counts."""
RELIEF = 60.0
"""mm of depth against the surroundings that fill the second channel: what a hand has, not what a
room has.
"""
RADIUS = 2.5
"""Pixels of the maps that know a joint."""
REACH = 200.0
"""mm that the hand's centre may be before or behind what a pixel shows."""
SURE = 0.5
"""Minimum peak of a joint that counts, relative to the highest peak."""

AGREE, PLACES = 120.0, 3
"""mm within which joints speak of one hand; how many places besides the median get a second look.
"""
CUBE, SIZE = 300.0, 64
"""Side in mm of the cube of a second look, and of its image in pixels."""
VIEWS, ASIDE, PASSES = 8, 8.0, 3
"""Views of a place at test time, turned, mirrored and shifted by up to `ASIDE` mm along each axis;
their median is the next place, `PASSES` times. An unsure network stays near where it looks from.
"""
ASTRAY, LOST = (30.0, 12.0), 75.0
"""Jitter of the cubes when the second look is trained: standard deviation in mm along each axis,
in turn as after a first and after a second look; mm from which a cube holds no hand.
"""

CLUTTERED = replace(
    synth.WIDE,
    distance=(300.0, 700.0),
    wall=0.4,
    person=0.35,
    table=0.35,
    held=0.15,
    near=0.25,
    beside=0.2,
)
"""Hands of every kind, seven of eight with something else in view: behind, below, in front or
touching.
"""
THINGS = ("wall", "person", "table", "held", "near", "beside")
"""What there may be in a cluttered frame besides a hand: fields of `synth.Distribution`."""
SUBJECTS, HELD_OUT, OTHERS = (*range(8), *range(9, 64)), (8,), tuple(range(200, 216))
"""Who is seen in training; the person of the test; and others whom no training saw either: one
person can be an easy or a hard one.
"""
WITHIN = 30.0
"""mm from the mean of the joints that count as found."""


@dataclass(frozen=True)
class Config:
    """`joints` heat maps; `channels` of the hourglass, which halves the maps `depth` times."""

    joints: int = 21
    channels: int = 48
    depth: int = 4

    def __post_init__(self):
        for name, unit in (("joints", 1), ("channels", 8), ("depth", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < unit or value % unit:
                raise HandPoseError(f"{name} {value!r}: accepted are positive multiples of {unit}")


class Detector(nn.Module):
    """Depth images and their cameras to a point in each hand, as `prepare.locate` asks of a
    detector.
    """

    def __init__(self, config: Config = Config()):
        super().__init__()
        self.config, c = config, config.channels
        self.stem = nn.Sequential(
            conv_bn_relu(2, c // 2, kernel=7, stride=2),
            Bottleneck(c // 2, c // 2),
            nn.MaxPool2d(2, ceil_mode=True),
            Bottleneck(c // 2, c),
        )
        self.hourglass = nn.Sequential(
            Hourglass(Bottleneck, c, config.depth, up_first=True),
            Bottleneck(c, c),
            conv_bn_relu(c, c),
        )
        self.joints, self.behind = Conv(c, config.joints, bias=True), Conv(c, 1, bias=True)
        initialise(self, 0.02)
        for head in (self.joints, self.behind):
            nn.init.zeros_(head.weight)  # nothing is said before something is known
        self.look = _look(c, config.joints)
        self.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def forward(self, depth: torch.Tensor, cameras: torch.Tensor) -> torch.Tensor:
        """(B, H, W) mm and (B, 4) → (B, 3) mm. Cameras may differ, the size of the images not."""
        rows = torch.arange(len(depth), device=depth.device)
        found, sure = self._seen(depth, cameras, torch.stack(self.places(depth, cameras), 1))
        place = found[rows, sure.argmax(1)]  # (B, 3)

        view = torch.arange(VIEWS, device=depth.device)
        corners = torch.stack([(view >> axis) & 1 for axis in range(3)], 1) * 2 - 1  # (V, 3) of ±1
        turned, mirrored = (pi / 2) * (view % 4), torch.where(view < VIEWS // 2, 1.0, -1.0)
        for _ in range(PASSES):
            around = _in_front(place[:, None] + ASIDE * corners)
            place = self._seen(depth, cameras, around, turned, mirrored)[0].quantile(
                0.5, dim=1
            )  # the mean of the middle two
        return place

    def _seen(
        self, depth, cameras, places, turned=0.0, mirrored=1.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cubes at places (B, P, 3) mm → where their hands are, (B, P, 3) mm, and how sure it is
        that there is one, (B, P).
        """
        many = places.shape[1]
        crops = prepare.crop(
            depth.repeat_interleave(many, 0),
            cameras.repeat_interleave(many, 0),
            places.flatten(0, 1),
            CUBE,
        )
        shape = (len(depth), many)
        crops = replace(
            crops,
            rotation=(crops.rotation.view(shape) + turned).flatten(),
            mirror=(crops.mirror.view(shape) * mirrored).flatten(),
        )
        place, sure = self.look_at(crops)
        return _in_front(prepare.from_view(place[:, None], crops))[:, 0].view(*shape, 3), sure.view(
            shape
        )

    @torch.no_grad()
    def find(self, depth: torch.Tensor, cameras: torch.Tensor) -> torch.Tensor:
        """As `forward`, but without a second look."""
        return self.places(depth, cameras)[0]

    @torch.no_grad()
    def places(self, depth: torch.Tensor, cameras: torch.Tensor) -> list[torch.Tensor]:
        """Where the hand may be, (B, 3) mm each: the median of the joints, and `PLACES` where most
        of them agree.
        """
        steps = _steps(cameras)
        found = [depth.new_zeros(len(depth), 3) for _ in range(1 + PLACES)]
        for step in steps.unique().tolist():
            rows = (steps == step).nonzero()[:, 0]
            maps = self.maps(depth[rows], step)
            median = self.read(*maps, cameras[rows], step)
            for place, centre in zip(
                found, (median, *self.agreements(*maps, cameras[rows], step, median)), strict=True
            ):
                place[rows] = centre
        return found

    def maps(
        self, depth: torch.Tensor, step: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(B, H, W) mm, thinned out by `step` → heat (B, J, h, w), behind (B, h, w) in 100 mm, seen
        (B, h, w) mm.

        `seen` is the nearest surface in each pixel of the maps, infinite where there is none. Pixel
        X of a map sees pixel 4 · step · X of the image and those after it.
        """
        thin = depth[:, ::step, ::step]
        x = self.hourglass(self.stem(image(thin)))
        away = thin.masked_fill((thin <= 0) | (thin >= FAR), torch.inf)
        # Padded up to whole pixels of the maps.
        seen = -F.max_pool2d(-F.pad(away[:, None], _up_to(away, 4), value=torch.inf), 4)[:, 0]
        return self.joints(x), self.behind(x)[:, 0], seen

    def joint_points(
        self, heat, behind, seen, cameras, step
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of each joint: pixel and depth of the hand's centre behind it (B, J, 3), height of its
        peak (B, J), whether it sees a surface.
        """
        place = peaks(heat, RADIUS)  # (B, J, 2)
        index = (
            place[..., 1].round().long() * heat.shape[-1] + place[..., 0].round().long()
        ).clamp(0, heat[0, 0].numel() - 1)
        depth = (seen + 100 * behind).flatten(1).gather(1, index)  # (B, J)
        return (
            torch.cat((_pixels(place, step), depth[..., None]), -1),
            heat.flatten(2).amax(2),
            depth.isfinite(),
        )

    def read(self, heat, behind, seen, cameras, step) -> torch.Tensor:
        """The maps of a batch → (B, 3) mm: the median of the joints, those with a high peak."""
        uvd, top, sees = self.joint_points(heat, behind, seen, cameras, step)
        sure = top >= torch.minimum(
            SURE * top.amax(1, keepdim=True), top.amax(1, keepdim=True)
        )  # the best one, even below 0
        uv = _median(uvd[..., :2], sure[..., None].expand(-1, -1, 2))
        z = _median(uvd[..., 2], sure & sees)
        # Nothing measured at any joint: the nearest thing of all is the best that can be said.
        z = torch.where(z.isnan(), seen.flatten(1).amin(1).clamp_max(FAR), z)
        return uvd_to_xyz(_in_front(torch.cat((uv, z[:, None]), 1))[:, None], cameras, check=False)[
            :, 0
        ]

    def agreements(
        self, heat, behind, seen, cameras, step, otherwise: torch.Tensor
    ) -> list[torch.Tensor]:
        """`PLACES` times (B, 3) mm: where most joints agree, where most of the others do, and so
        on; `otherwise` if none is left.
        """
        uvd, top, sees = self.joint_points(heat, behind, seen, cameras, step)
        points = uvd_to_xyz(_in_front(uvd.where(sees[..., None], FAR)), cameras, check=False)
        weight, apart, rows = (
            top.clamp_min(0) * sees,
            torch.cdist(points, points),
            torch.arange(len(points), device=points.device),
        )
        found = []
        for _ in range(PLACES):
            best = (
                (weight[:, None] * (1 - apart / AGREE).clamp_min(0))
                .sum(2)
                .masked_fill(weight <= 0, -1)
                .argmax(1)
            )
            near = apart[rows, best] < AGREE
            share = weight * near
            total = share.sum(1, keepdim=True)
            mean = (share[..., None] * points).sum(1) / total.clamp_min(1e-9)
            found.append(torch.where(total > 1e-6, mean, otherwise))
            weight = weight * ~near
        return found

    def loss(
        self, depth: torch.Tensor, cameras: torch.Tensor, joints: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Scalars 'heat' and 'depth' per frame, and 'total', for images of one focal length with
        joints (B, J, 3) mm.
        """
        step = int(_steps(cameras)[0])
        heat, behind, seen = self.maps(depth, step)
        uv = xyz_to_uvd(joints, cameras, check=False)[..., :2]
        true = cones((uv / step - 1.5) / 4, *heat.shape[-2:], RADIUS)
        offset = (joints.mean(1)[:, 2, None, None] - seen) / 100
        counts = (true > 0).any(1) & (offset.abs() < REACH / 100)
        apart = F.huber_loss(behind, offset.where(counts, 0), reduction="none", delta=0.1) * counts
        terms = {
            "heat": (heat - true).square().sum() / (2 * len(depth)),
            "depth": apart.sum() / len(depth),
        }
        return {**terms, "total": terms["heat"] + terms["depth"]}

    def look_at(self, crops: Crops) -> tuple[torch.Tensor, torch.Tensor]:
        """Where in the view of each cube the hand's centre is, (B, 3) normalised, and how sure it
        is that there is one, (B,) log odds.
        """
        joints, sure = self.look_for_joints(crops)
        return joints.mean(1), sure

    def look_for_joints(self, crops: Crops) -> tuple[torch.Tensor, torch.Tensor]:
        """As `look_at`, and all of the joints, (B, J, 3) normalised."""
        said = self.look(prepare.image(crops, SIZE).contiguous(memory_format=torch.channels_last))
        return said[:, :-1].unflatten(1, (-1, 3)), said[:, -1]

    def look_loss(
        self,
        depth: torch.Tensor,
        cameras: torch.Tensor,
        joints: torch.Tensor,
        looks: int,
        generator: torch.Generator,
    ) -> dict[str, torch.Tensor]:
        """Scalars 'place' (of the mean), 'joints' and 'sure' per cube, and 'total', of `looks`
        cubes in each image, turned at random.

        The first of them is put on anything that stands out, the others miss the hand by `ASTRAY`.
        Whoever can tell one finger from another is better at the mean of them all: that is what the
        joints are learnt for.
        """
        frames, joints, depth, cameras = (
            len(joints),
            joints.repeat(looks, 1, 1),
            depth.repeat(looks, 1, 1),
            cameras.repeat(looks, 1),
        )
        mean = prepare.true_centre(joints)
        astray = torch.tensor(
            [ASTRAY[look % len(ASTRAY)] for look in range(looks)]
        ).repeat_interleave(frames)[:, None]
        at = mean + (astray * torch.randn(mean.shape, generator=generator)).to(mean)
        at[:frames] = _standing_out(depth[:frames], cameras[:frames], generator)
        crops = prepare.augment(
            prepare.crop(depth, cameras, _in_front(at), CUBE), generator, translation=0.0
        )
        said, sure = self.look_for_joints(crops)
        away = (at - mean).norm(dim=1)
        near, hand = away < 1.5 * LOST, (away < LOST).to(sure)

        def apart(said, true):  # (B, N, 3) normalised → a scalar, in 10 mm
            error = (
                F.huber_loss(said * (CUBE / 20), true * (CUBE / 20), reduction="none")
                .sum(2)
                .mean(1)
            )
            return (error * near).sum() / near.sum().clamp_min(1)

        true = prepare.to_view(joints, crops)
        terms = {
            "place": apart(said.mean(1, keepdim=True), prepare.to_view(mean[:, None], crops)),
            "joints": apart(said, true),
            "sure": F.binary_cross_entropy_with_logits(sure, hand),
        }
        return {**terms, "total": sum(terms.values())}


def image(depth: torch.Tensor) -> torch.Tensor:
    """What the network sees of depth (B, H, W) mm: (B, 2, H, W), nearness and relief.

    Nearness is 1 at the camera and 0 from `FAR` on or where nothing was measured. Relief is how
    much a pixel stands out from the mean around it, so that fingers show beside a wall a metre
    behind them.
    """
    away = torch.where((depth > 0) & (depth < FAR), depth, FAR)[:, None]
    around = F.avg_pool2d(
        away, (31, 1), stride=1, padding=(15, 0), count_include_pad=False
    )  # rows, then columns: 15 times less work
    around = F.avg_pool2d(around, (1, 31), stride=1, padding=(0, 15), count_include_pad=False)
    return torch.cat((1 - away / FAR, ((around - away) / RELIEF).clamp(-1, 1)), 1)


# --- Training -----------------------------------------------------------------


def train(
    detector: Detector,
    frames: int = 20_000,
    *,
    seed: int = 0,
    batch: int = 8,
    rate: float = 2e-3,
    distribution=CLUTTERED,
    device="auto",
    progress: bool = True,
) -> list[dict]:
    """Train the first look in place on synthetic frames, none seen twice; the curve of the loss in
    about fifty entries.
    """

    def loss(step, depth, cameras, joints):
        return detector.loss(depth, cameras, joints)

    detector.train()
    return _train(
        detector, loss, frames, "detector", seed, batch, rate, distribution, device, progress
    )


def train_look(
    detector: Detector,
    frames: int = 8_000,
    *,
    seed: int = 0,
    batch: int = 8,
    looks: int = 4,
    rate: float = 3e-3,
    distribution=CLUTTERED,
    device="auto",
    progress: bool = True,
) -> list[dict]:
    """Train the second look in place, as `train` the first: at `looks` cubes in each frame. Neither
    needs the other.
    """

    def loss(step, depth, cameras, joints):
        return detector.look_loss(
            depth, cameras, joints, looks, training.generator(seed, "second look", step)
        )

    detector.look.train()
    return _train(
        detector, loss, frames, "second look", seed, batch, rate, distribution, device, progress
    )


def _train(
    detector: Detector,
    loss: Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], dict[str, torch.Tensor]],
    frames: int,
    purpose: str,
    seed: int,
    batch: int,
    rate: float,
    distribution: synth.Distribution | str,
    device: torch.device | str,
    progress: bool,
) -> list[dict]:
    device = evaluation.find_device(device)
    detector.to(device)
    steps = max(2, frames // batch)

    def render(step: int) -> synth.Rendered:
        return synth.frames(
            range(step * batch, (step + 1) * batch),
            seed=training.mix(seed, purpose, 0) % (1 << 31),
            distribution=distribution,
            subjects=SUBJECTS,
        )

    def of_batch(step: int, given: synth.Rendered) -> dict[str, torch.Tensor]:
        depth, joints = given.depth.to(device), given.joints.to(device)
        return loss(step, depth, as_cameras(given.camera, depth), joints)

    curve = learn(
        detector.look if purpose == "second look" else detector,
        in_background(render, range(steps)),
        of_batch,
        steps=steps,
        rate=rate,
        name=purpose,
        progress=progress,
    )
    detector.eval()
    return curve


# --- Evaluation ---------------------------------------------------------------


@torch.no_grad()
def centre_errors(
    locators: dict,
    frames: int = 512,
    *,
    seed: int = 1,
    distribution=CLUTTERED,
    subjects=HELD_OUT,
    setup: str = "msra",
    batch: int = 32,
) -> dict[str, torch.Tensor]:
    """By name, how far (frames,) mm each locator is from the mean of the joints.

    `locators`: name → a detector, or None for the method of `prepare.locate` of that name
    ('mass', 'outline'). Frames are of persons that no training here has seen.
    """
    for name, locator in locators.items():
        if locator is None:
            one_of("way to find a hand without a detector", name, METHODS)
    found = {name: [] for name in locators}
    for start in range(0, frames, batch):
        given = synth.frames(
            range(start, min(start + batch, frames)),
            seed=seed,
            setup=setup,
            distribution=distribution,
            subjects=subjects,
        )
        true = prepare.true_centre(given.joints)
        for name, locator in locators.items():
            owner = getattr(locator, "__self__", locator)  # of a detector's method
            place = (
                next(owner.parameters()).device
                if isinstance(owner, nn.Module)
                else given.depth.device
            )
            method = name if locator is None else "mass"
            centre = prepare.locate(given.depth.to(place), given.camera, method, detector=locator)
            found[name].append((centre.to(true) - true).norm(dim=1))
    return {name: torch.cat(parts) for name, parts in found.items()}


def success_rates(locators: dict, within: float = WITHIN, **options) -> dict[str, float]:
    """The share of frames in which each way finds the hand `within` so many mm; `options` as of
    `centre_errors`.
    """
    return {
        name: (apart <= within).float().mean().item()
        for name, apart in centre_errors(locators, **options).items()
    }


def only(*things: str):
    """`CLUTTERED` with these of the `THINGS` in every frame, and none of the others."""
    for thing in things:
        one_of("thing beside a hand", thing, THINGS)
    return replace(CLUTTERED, **{thing: float(thing in things) for thing in THINGS})


# --- Helpers ------------------------------------------------------------------


def _look(c: int, joints: int) -> nn.Sequential:
    """(B, 1, SIZE, SIZE) → (B, 3 J + 1): joints, and how sure it is of them; 0 as long as nothing
    has been learnt.
    """
    network = nn.Sequential(
        conv_bn_relu(1, c // 2, kernel=5, stride=2),
        conv_bn_relu(c // 2, c, kernel=3, stride=2),
        conv_bn_relu(c, c, kernel=3),
        conv_bn_relu(c, c, kernel=3, stride=2),
        conv_bn_relu(c, c, kernel=3),
        conv_bn_relu(c, 2 * c, kernel=3, stride=2),
        nn.Flatten(),
        nn.Linear(2 * c * (SIZE // 16) ** 2, 2 * c),
        nn.ReLU(inplace=True),
        nn.Linear(2 * c, 3 * joints + 1),
    )
    nn.init.zeros_(network[-1].weight)
    nn.init.zeros_(network[-1].bias)
    return network


def _standing_out(
    depth: torch.Tensor, cameras: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """(B, 3) mm, a measured point of each image, drawn the more often the more it stands out from
    what is around it.
    """
    step = int(_steps(cameras)[0])
    thin = depth[:, ::step, ::step]
    weight = (image(thin)[:, 1].clamp_min(0) + 1e-3) * (
        (thin > 0) & (thin < FAR)
    ) + 1e-9  # anything, where nothing is measured
    index = torch.multinomial(weight.flatten(1).cpu(), 1, generator=generator).to(depth.device)
    v, u = index.div(thin.shape[-1], rounding_mode="floor"), index % thin.shape[-1]
    uvd = torch.cat((step * u, step * v, thin.flatten(1).gather(1, index)), 1)
    return uvd_to_xyz(_in_front(uvd)[:, None], cameras, check=False)[:, 0]


def _in_front(points: torch.Tensor) -> torch.Tensor:
    """(..., 3), the last coordinate depth in mm: none nearer to the camera than a hand can be."""
    return torch.cat((points[..., :2], points[..., 2:].clamp_min(NEAR)), -1)


def _steps(cameras: torch.Tensor) -> torch.Tensor:
    """(B,) every how many pixels an image is read."""
    return (cameras[:, 0] / FOCAL).round().clamp_min(1).long()


def _pixels(place: torch.Tensor, step: int) -> torch.Tensor:
    """Pixels of the maps → pixels of the image: a map's pixel is four thinned ones, and stands for
    their middle.
    """
    return (4 * place + 1.5) * step


def _up_to(images: torch.Tensor, unit: int) -> tuple[int, int, int, int]:
    """Padding on the right and below up to multiples of `unit`."""
    height, width = images.shape[-2:]
    return 0, -width % unit, 0, -height % unit


def _median(values: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """The median along axis 1 of the values that count; NaN where none does."""
    return values.masked_fill(~counts, torch.nan).nanmedian(1).values
