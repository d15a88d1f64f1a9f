"""Figures show the given tensors, have an alternative text, and refuse what they cannot draw."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from matplotlib.quiver import Quiver
from mpl_toolkits.mplot3d.art3d import Path3DCollection
from mpl_toolkits.mplot3d.axes3d import Axes3D

from handpose_lib import skeleton
from handpose_lib.camera import xyz_to_uvd
from handpose_lib.dataset_specs import preset
from handpose_lib.errors import HandPoseError
from handpose_lib.teaching import figures

MSRA, CAMERA = skeleton.get("msra21"), preset("msra")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def joints():
    return torch.rand(21, 3, generator=torch.Generator().manual_seed(0)) * 100 + torch.tensor(
        [-50.0, -50.0, 350.0]
    )


@pytest.fixture
def depth():
    image = torch.zeros(240, 320)
    image[100:150, 120:200] = torch.linspace(300, 400, 80)
    return image


def shown_by(image):
    """The masked array of a drawn image."""
    values = image.get_array()
    assert values is not None
    return np.ma.asarray(values)


def alt_of(axes):
    """The alternative text of the figure of these axes."""
    return figures.alt(axes.figure)


def pixels(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3]


def test_depth_image_shows_the_depth_and_nothing_where_nothing_was_measured(depth):
    axes = figures.depth_image(depth)
    shown = shown_by(axes.images[0])
    assert np.array_equal(np.ma.filled(shown, 0), depth.double().numpy())
    assert np.ma.getmaskarray(shown).sum() == (depth == 0).sum()


def test_the_nearer_the_lighter_and_the_background_white(depth):
    axes = figures.depth_image(depth)
    paint = axes.images[0].to_rgba(np.ma.masked_invalid(shown_by(axes.images[0])))[..., 0]
    assert paint[120, 121] > paint[120, 160] > paint[120, 198]
    # The hand stays apart from a white page and from black.
    assert paint[120, 198] > 0.15 and paint[120, 121] < 0.95
    assert tuple(pixels(axes.figure)[0, 0]) == (255, 255, 255)


def test_a_skeleton_is_drawn_where_its_joints_project_to(depth, joints):
    axes = figures.depth_image(depth, CAMERA, joints, MSRA, joints + 5)
    full, dashed = (np.asarray(axes.collections[k].get_offsets()) for k in (2, 4))
    assert np.allclose(full, xyz_to_uvd(joints, CAMERA)[:, :2].numpy(), atol=1e-3)
    assert np.allclose(dashed, xyz_to_uvd(joints + 5, CAMERA)[:, :2].numpy(), atol=1e-3)
    child, parent = MSRA.bones[7]
    bones = axes.collections[1]
    assert isinstance(bones, LineCollection)
    assert np.allclose(bones.get_segments()[7], full[[parent, child]], atol=1e-3)


def test_zoom_holds_every_measured_pixel_and_the_margin(depth):
    axes = figures.depth_image(depth, zoom=6)
    assert axes.get_xlim() == (120 - 6.5, 199 + 6.5)
    assert axes.get_ylim() == (149 + 6.5, 100 - 6.5)


def test_an_image_without_any_measurement_is_drawn_as_well():
    pixels(figures.depth_image(torch.zeros(8, 9), zoom=2).figure)


@pytest.mark.parametrize("name", skeleton.SKELETONS)
def test_colours_of_every_skeleton_are_safe_and_fingers_differ(name):
    s = skeleton.get(name)
    known = {*figures.FINGERS.values(), figures.PALM}
    assert len(figures.colours(s)) == len(s) and set(figures.colours(s)) <= known
    for members in s.fingers.values():
        assert len({figures.colours(s)[joint] for joint in members}) == 1
    assert len({figures.colours(s)[members[-1]] for members in s.fingers.values()}) == len(
        s.fingers
    )


def test_colours_differ_in_lightness_or_hue_for_red_green_blind_readers():
    """Projected on the two axes that protanopes and deuteranopes keep
    (lightness, blue against yellow).
    """
    seen = np.array(
        [
            [0.299 * r + 0.587 * g + 0.114 * b, b - (r + g) / 2]
            for r, g, b in map(to_rgb, figures.FINGERS.values())
        ]
    )
    apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1)[~np.eye(5, dtype=bool)]
    assert apart.min() > 0.05


def test_depth_grid_has_one_picture_each_and_leaves_the_last_places_empty(depth, joints):
    figure = figures.depth_grid(
        [depth] * 5, CAMERA, [joints] * 5, MSRA, titles=list("abcde"), columns=3
    )
    drawn = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in drawn] == list("abcde") and len(figure.axes) == 6
    assert "5 depth images" in figures.alt(figure)


def test_voxels_stand_where_they_were_filled_the_nearer_the_lighter(monkeypatch):
    volume, drawn, collection = torch.zeros(4, 5, 6), {}, figures.Poly3DCollection  # [z][y][x]
    volume[0, 4, 1], volume[3, 0, 5] = 1, 1  # near, low, left; far, high, right
    monkeypatch.setattr(
        figures,
        "Poly3DCollection",
        lambda faces, **look: drawn.update(faces=faces, **look) or collection(faces, **look),
    )
    axes = figures.voxels(volume)
    near = (drawn["faces"][:, :, 0] <= 2).all(1)
    assert len(near) == 12 and near.sum() == 6, "each alone shows its six sides"
    for chosen, corner in (
        (near, [1, 0, 0]),
        (~near, [5, 3, 4]),
    ):  # x to the right, z away, and up is −y
        corners = drawn["faces"][chosen].reshape(-1, 3)
        assert corners.min(0).tolist() == corner and corners.max(0).tolist() == [
            c + 1 for c in corner
        ]
    assert drawn["facecolors"][near, :3].sum(1).min() > drawn["facecolors"][~near, :3].sum(1).max()
    assert [getattr(axes, f"get_{a}lim")() for a in "xyz"] == [(0, 6), (0, 4), (0, 5)]
    assert alt_of(axes) == "2 filled voxels of 120"


def test_sides_between_two_voxels_are_not_drawn_and_all_face_outwards():
    filled = torch.rand(5, 6, 7, generator=torch.Generator().manual_seed(0)) < 0.4
    faces, at = figures._faces(filled)
    padded = torch.nn.functional.pad(filled, (1,) * 6)
    assert len(faces) == sum((padded.int().diff(dim=axis) != 0).sum() for axis in range(3)), (
        "one for each change along an axis"
    )
    a, b, c, _ = faces.double().unbind(1)
    normal, outwards = torch.linalg.cross(b - a, c - b), faces.double().mean(1) - (at + 0.5)
    assert torch.equal(normal, 2 * outwards)


def test_a_cube_without_a_filled_voxel_can_be_drawn():
    pixels(figures.voxels(torch.zeros(2, 2, 2)).figure)


def test_point_cloud_is_upright_and_to_scale(joints):
    axes = figures.point_cloud(joints, joints, MSRA)
    points = axes.collections[0]
    assert isinstance(axes, Axes3D) and isinstance(points, Path3DCollection)
    x, depth_axis, up = (np.asarray(values) for values in points._offsets3d)
    assert (
        np.allclose(x, joints[:, 0])
        and np.allclose(depth_axis, joints[:, 2])
        and np.allclose(up, -joints[:, 1])
    )
    sides = np.ptp([axes.get_xlim(), axes.get_ylim(), axes.get_zlim()], axis=1)
    assert np.allclose(sides / sides.max(), axes._box_aspect / axes._box_aspect.max(), rtol=1e-6)


def test_heat_maps_show_one_map_per_joint_over_the_crop():
    heat = torch.rand(6, 16, 16)
    figure = figures.heat_maps(heat, torch.zeros(1, 64, 64), names=list("abcdef"), columns=3)
    for number, axes in enumerate(figure.axes[:6]):
        assert np.allclose(shown_by(axes.images[-1]), heat[number].numpy())
        assert axes.images[0].get_extent() == axes.images[1].get_extent() == [-1, 1, 1, -1]


@pytest.mark.parametrize("components", [2, 3])
def test_offset_arrows_end_at_the_joint_that_they_point_to(components):
    size, joint = 16, torch.tensor([0.3, -0.2, 0.1])
    at = (torch.arange(size) + 0.5) * 2 / size - 1
    y, x = torch.meshgrid(at, at, indexing="ij")
    offsets = joint[:, None, None] - torch.stack((x, y, torch.zeros_like(x)))
    axes = figures.offset_field(offsets[:components], torch.zeros(64, 64), step=3)
    quiver = axes.collections[0]
    assert isinstance(quiver, Quiver)
    ends = np.asarray(quiver.get_offsets()) + np.stack((quiver.U, quiver.V), 1)
    assert np.allclose(ends, joint[:2].numpy(), atol=1e-6)


def test_offset_arrows_stand_only_where_the_weight_is():
    weight = torch.zeros(16, 16)
    weight[4:8, 4:8] = 1
    axes = figures.offset_field(torch.ones(2, 16, 16), weight=weight, step=1)
    quiver = axes.collections[0]
    assert isinstance(quiver, Quiver) and np.size(quiver.U) == 16


def test_a_success_curve_says_how_a_frame_was_judged():
    thresholds = torch.arange(5.0)
    for by, text in (("worst", "worst joint"), ("mean", "mean joint error")):
        axes = figures.success_curve(
            {"a": torch.linspace(0, 1, 5), "b": torch.zeros(5)}, thresholds, by
        )
        assert text in axes.get_ylabel() and by in alt_of(axes)
        assert np.allclose(axes.lines[0].get_ydata(), [0, 25, 50, 75, 100])
        assert axes.lines[0].get_linestyle() != axes.lines[1].get_linestyle(), "not by colour alone"


def test_joint_bars_have_the_height_of_the_error():
    errors = torch.rand(21) * 10
    axes = figures.joint_bars({"a": errors, "b": errors + 1}, MSRA.joints)
    heights = [bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)]
    assert np.allclose(heights, [*errors.double(), *(errors.double() + 1)])
    assert [label.get_text() for label in axes.get_xticklabels()] == list(MSRA.joints)


def test_a_training_curve_has_its_baselines():
    axes = figures.training_curve({"training": [3.0, 2.0, 1.0]}, {"5-NN": 2.5})
    assert np.asarray(axes.lines[0].get_xdata()).tolist() == [1, 2, 3]
    assert np.asarray(axes.lines[1].get_ydata())[0] == 2.5 and axes.texts[0].get_text() == "5-NN"


def test_a_tensor_with_a_gradient_can_be_drawn(depth):
    figures.depth_image(depth.clone().requires_grad_())
    figures.joint_bars(torch.rand(21, requires_grad=True), MSRA.joints)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda d, j: figures.depth_image(d[None]), "depth of shape"),
        (lambda d, j: figures.depth_image(d, joints=j), "need camera and skeleton"),
        (lambda d, j: figures.depth_image(d, CAMERA, j[:14], MSRA), "14 joints for msra21"),
        (lambda d, j: figures.point_cloud(j, j), "need a skeleton"),
        (lambda d, j: figures.voxels(d), "accepted are 3 axes"),
        (lambda d, j: figures.offset_field(torch.zeros(4, 8, 8)), "accepted are \\(2, h, w\\)"),
        (
            lambda d, j: figures.success_curve(torch.zeros(3), torch.zeros(3), by="best"),
            "'worst' and 'mean'",
        ),
        (lambda d, j: figures.depth_grid([]), "at least one"),
    ],
)
def test_what_cannot_be_drawn_says_what_could(draw, message, depth, joints):
    with pytest.raises(HandPoseError, match=message):
        draw(depth, joints)


def test_every_figure_describes_itself(depth, joints):
    made = [
        figures.depth_image(depth),
        figures.point_cloud(joints),
        figures.offset_field(torch.ones(2, 8, 8)),
        figures.success_curve(torch.zeros(3), torch.arange(3.0)),
        figures.joint_bars(torch.ones(21), MSRA.joints),
        figures.training_curve([1.0]),
    ]
    assert all(len(alt_of(axes)) > 10 for axes in made)
    assert figures.alt(figures.heat_maps(torch.rand(2, 4, 4)))


def test_style_keeps_a_white_opaque_background_and_readable_fonts():
    with plt.rc_context():
        figures.style()
        assert plt.rcParams["savefig.facecolor"] == plt.rcParams["figure.facecolor"] == "white"
        assert plt.rcParams["font.size"] >= 11
