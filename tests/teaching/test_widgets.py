"""Interactive figures show the right content, and live ones leave nothing behind.

A page needs neither a kernel nor a network for them.
"""

import base64
import html
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import ipywidgets
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import torch
from ipywidgets.widgets.widget import _instances
from PIL import Image

from handpose_lib import papers, prepare, skeleton, synth
from handpose_lib.errors import HandPoseError
from handpose_lib.evaluation import metrics
from handpose_lib.nets.mean_shift import densest, log_weights
from handpose_lib.nets.mean_shift import mean_shift as library_mean_shift
from handpose_lib.results import pretrained
from handpose_lib.synth.hands import hand, poses
from handpose_lib.teaching import widgets
from handpose_lib.teaching.widgets import (
    attention_masks,
    crop_cube,
    hand_to_pose,
    mean_shift,
    pages,
    perspective,
    pixel_votes,
    read_out,
    sensor_noise,
)
from handpose_lib.teaching.widgets.live import Live, number

MSRA = skeleton.get("msra21")
BOOK = Path(__file__).resolve().parents[2] / "book"


@pytest.fixture
def joints():
    return torch.rand(21, 3, generator=torch.Generator().manual_seed(1)) * 100


def traces(figure) -> list[Any]:
    """The traces of a plotly figure."""
    return list(figure.data)


def layout(figure) -> Any:
    return figure.layout


def test_space_holds_the_points_and_the_bones(joints):
    points = torch.rand(50, 3)
    figure = widgets.space({"cloud": points}, joints, MSRA, title="a hand")
    cloud, *bones, ends = traces(figure)
    assert np.allclose(np.stack((cloud.x, cloud.y, cloud.z), 1), points.numpy())
    assert np.allclose(np.stack((ends.x, ends.y, ends.z), 1), joints.numpy())
    assert sum(np.isfinite(line.x).sum() for line in bones) == 2 * len(MSRA.bones)
    assert tuple(ends.text) == MSRA.joints


def test_space_is_seen_from_the_camera_upright_and_to_scale(joints):
    scene = layout(widgets.space(joints)).scene
    assert (scene.camera.up.x, scene.camera.up.y, scene.camera.up.z) == (0, -1, 0)
    assert scene.camera.eye.z < 0
    sides = np.array([np.ptp(scene[f"{axis}axis"].range) for axis in "xyz"])
    ratio = np.array([scene.aspectratio[axis] for axis in "xyz"])
    assert np.allclose(sides / sides.max(), ratio, rtol=1e-5)


def test_slider_shows_one_step_at_a_time_in_axes_that_hold_all(joints):
    figure = widgets.slider(
        [widgets.space(joints), widgets.space(joints + 50, joints, MSRA)], ["a", "b"], name="step"
    )
    first, second = (step.args[0]["visible"] for step in layout(figure).sliders[0].steps)
    assert [trace.visible for trace in traces(figure)] == list(first)
    assert all(a != b for a, b in zip(first, second))
    scene = layout(figure).scene
    assert (
        scene.xaxis.range[0] <= float(joints[:, 0].min())
        and scene.xaxis.range[1] >= float(joints[:, 0].max()) + 50
    )
    sides = np.array([np.ptp(scene[f"{axis}axis"].range) for axis in "xyz"])
    assert np.allclose(sides / sides.max(), [scene.aspectratio[axis] for axis in "xyz"], rtol=1e-5)


def test_the_page_loads_the_book_s_own_plotly_and_nothing_from_the_network(joints):
    page = widgets.to_html(widgets.space(joints, alt='points with "quotes" & </script>'))
    assert '"_static/plotly.min.js"' in page and "content_root" in page
    assert not re.search(r"(src|href)\s*=\s*[\"']?https?:", page) and "cdn" not in page.lower()
    assert page.count("</script>") == 1, "nothing inside ends the script"
    assert 'aria-label="points with &quot;quotes&quot; &amp; &lt;/script&gt;"' in page
    content = re.search(r"const figure = (.*);\n", page)
    assert content and json.loads(content[1])["data"][0]["type"] == "scatter3d"


def test_the_same_figure_gives_the_same_page(joints):
    assert widgets.to_html(widgets.space(joints)) == widgets.to_html(widgets.space(joints))


def test_show_offers_plotly_s_json_and_html(joints, monkeypatch):
    bundles = []
    monkeypatch.setattr(pages, "display", lambda bundle, raw: bundles.append(bundle))
    widgets.show(widgets.space(joints))
    assert set(bundles[0]) == {"application/vnd.plotly.v1+json", "text/html"}
    assert bundles[0]["application/vnd.plotly.v1+json"]["data"]


def picture(height):
    """A figure with a black bar of this height, on a background that is not white."""
    figure = plt.figure(figsize=(1, 1), facecolor="grey")
    figure.add_axes((0.5, 0, 0.5, height), facecolor="black")
    return figure


def test_flip_book_holds_every_picture_and_shows_the_first_chosen():
    book = widgets.flip_book(
        (picture(height) for height in (0.1, 0.5)),
        ["low", "high"],
        "bar",
        alt='a "square"',
        start=1,
    )
    page = str(book.data)
    listed = re.search(r"const sources = (\[.*?\])", page)
    assert listed
    sources = json.loads(listed[1])
    assert len(sources) == 2 and page.count(sources[1]) == 2
    images = [
        Image.open(io.BytesIO(base64.b64decode(source.split(",", 1)[1]))).convert("RGBA")
        for source in sources
    ]
    assert all(image.getpixel((0, 0)) == (255, 255, 255, 255) for image in images), (
        "white and opaque"
    )
    assert 'value="1"' in page and "<output>high</output>" in page
    assert 'alt="a &quot;square&quot;: high"' in page
    assert not plt.get_fignums(), "the figures are closed"


@pytest.mark.parametrize(("inches", "width"), [((1, 2), pages.NARROWEST), ((1, 8), 720)])
def test_a_flip_book_is_as_wide_as_its_widest_picture(inches, width):
    book = widgets.flip_book((plt.figure(figsize=(side, 1)) for side in inches), ["a", "b"])
    assert f'style="max-width:{width}px"' in str(book.data)


@pytest.mark.parametrize(("labels", "start"), [([], 0), (["a", "b"], 0), (["a"], 1)])
def test_a_flip_book_wants_a_label_for_each_picture(labels, start):
    with pytest.raises(HandPoseError, match="one label"):
        widgets.flip_book([picture(0.5)], labels, start=start)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: widgets.space(torch.zeros(5, 2)),
        lambda: widgets.space(torch.zeros(0, 3)),
        lambda: widgets.space(torch.zeros(5, 3), torch.zeros(21, 3)),
        lambda: widgets.space(torch.zeros(5, 3), torch.zeros(14, 3), MSRA),
        lambda: widgets.slider([], []),
    ],
)
def test_what_cannot_be_shown_is_refused(draw):
    with pytest.raises(HandPoseError):
        draw()


# --- the pure functions behind the live figures -------------------------------


@pytest.fixture(scope="module")
def frames():
    return synth.frames(range(3), seed=5, setup="msra", distribution=synth.WIDE_VIEW)


@pytest.fixture(scope="module")
def crops(frames):
    return prepare.crop(
        frames.depth, frames.camera, frames.joints.mean(1), 250.0, frames.joints, frames.hands
    )


def joints_of(crops):
    assert crops.joints is not None
    return crops.joints


def small(name):
    """An untrained network, small and always the same."""
    torch.manual_seed(0)
    return papers.create(name, "msra21", "small").eval()


@pytest.fixture(scope="module")
def jgr(crops):
    method = small("jgr_p2o")
    with torch.no_grad():
        return method, method(method.encode(crops))[-1]


@pytest.fixture(scope="module")
def densereg(crops):
    method = small("densereg")
    return method, method.targets(crops)


@pytest.fixture(scope="module")
def attention(crops):
    method = small("residual_attention")
    x = method.encode(crops)
    with torch.no_grad():
        return x, method(x)[0].masks


@pytest.fixture(scope="module")
def trained(jgr):
    """What stands for a trained network: it need not be good."""
    return pretrained.Pretrained(jgr[0], pretrained.load("jgr_p2o").record)


@pytest.mark.parametrize("name", poses.POSES)
def test_gestures_are_within_the_limits_of_their_sliders(name):
    """To a float32's rounding in degrees: a slider would silently cut what lies outside."""
    low, high = hand.LIMITS[6:].unbind(1)
    angles = poses.preset(name)
    assert ((angles >= low - 1e-9) & (angles <= high + 1e-9)).all()


def test_a_viewpoint_turned_by_nothing_and_by_everything_is_the_same():
    depth, crops = perspective.scene(500.0)
    still = perspective.scene(500.0, yaw=0.0, pitch=0.0)
    joints = joints_of(crops)
    assert torch.equal(depth, still[0]) and torch.equal(joints, joints_of(still[1]))
    around = joints_of(perspective.scene(500.0, yaw=360.0)[1])
    assert (around - joints).abs().max() < 1e-2  # sin(2π) in float32, times 200 mm
    other = joints_of(perspective.scene(500.0, yaw=40.0)[1])
    child, parent = map(list, zip(*MSRA.bones))
    one, another = ((j[0, child] - j[0, parent]).norm(dim=1) for j in (joints, other))
    assert torch.allclose(one, another, atol=1e-2) and (other - joints).abs().max() > 5


@pytest.mark.parametrize(("distance", "aside"), [(300.0, 0.0), (600.0, 20.0), (1500.0, -25.0)])
def test_perspective_moves_a_joint_by_what_similar_triangles_say(distance, aside):
    """By x (c_z − z) / z of its x, and y alike: its ray meets the plane of the centre there."""
    _, crops = perspective.scene(distance, aside)
    x, y, z = joints_of(crops)[0].double().unbind(-1)
    factor = (crops.centre[0, 2] - z) / z
    expected = torch.stack((x * factor, y * factor), -1).norm(dim=-1).mean()
    assert torch.allclose(perspective.distortion(crops)[0].double(), expected, atol=1e-3)
    assert torch.allclose(joints_of(crops).mean(1), crops.centre, atol=1e-2)
    assert torch.allclose(
        crops.centre[0, 0] / crops.centre[0, 2],
        torch.tensor(math.tan(math.radians(aside))),
        atol=1e-6,
    )


def test_a_cube_around_all_joints_loses_none_and_one_beside_them_loses_all(frames):
    centre = frames.joints.mean(1)
    assert crop_cube.outside(crop_cube.moved(frames, centre, 600.0)).eq(0).all()
    assert crop_cube.outside(crop_cube.moved(frames, centre, 200.0, (0.0, 0.0, 400.0))).eq(1).all()
    plain, moved = (
        crop_cube.moved(frames, centre),
        crop_cube.moved(frames, centre + 7.0, offset=(-7.0, -7.0, -7.0)),
    )
    assert torch.allclose(plain.centre, moved.centre, atol=1e-4)


@pytest.mark.parametrize("size", [12, 31])
def test_read_outs_err_by_what_the_voxels_allow(crops, size):
    """Arg-max rounds each axis to the middle of a voxel; the best voxel alone is arg-max; without
    noise the mean of many beats it.
    """
    n = prepare.xyz_to_cube(crops.joints, crops)[0] * 0.8  # well inside
    off = read_out.errors(n, 250.0, size, sigma=1.7, k=1)
    voxel = 250.0 / size
    assert off["arg-max"].max() <= voxel * 3**0.5 / 2 * (1 + 1e-4)
    assert torch.allclose(off["arg-max"], off["top 1"])
    many = read_out.errors(n, 250.0, size, sigma=1.7, k=64)
    assert many["top 64"].mean() < off["arg-max"].mean() / 2
    assert torch.equal(many["soft-argmax"], off["soft-argmax"])


def test_the_noise_of_a_likelihood_is_always_the_same_and_none_is_none():
    n = torch.zeros(2, 3)
    assert torch.equal(read_out.volumes(n, 16, noise=0.2), read_out.volumes(n, 16, noise=0.2))
    assert read_out.volumes(n, 16).max() <= 1 < read_out.volumes(n, 16, noise=0.5).max()


@pytest.mark.parametrize("start", ["densest", "edge"])
def test_the_path_of_mean_shift_ends_where_the_library_does(start):
    generator = torch.Generator().manual_seed(3)
    votes, weights = (
        30 * torch.randn(20, 3, generator=generator),
        torch.rand(20, generator=generator),
    )
    begin = mean_shift.at_the_edge(votes, weights) if start == "edge" else None
    way = mean_shift.path(votes, weights, 15.0, 60, begin)
    assert way.shape == (61, 3)
    first = densest(votes, log_weights(weights), 15.0) if begin is None else begin
    assert torch.equal(way[0], first)
    assert torch.allclose(way[-1], library_mean_shift(votes, weights, 15.0, 60, begin), atol=1e-3)
    density = (weights * torch.exp(-(votes - way[:, None]).square().sum(-1) / (2 * 15.0**2))).sum(
        -1
    )
    assert (density.diff() > -1e-6).all(), "no step goes down"


def test_voting_weights_are_shares_and_give_the_joint(jgr):
    _method, stage = jgr
    assert (
        torch.allclose(stage.weights.sum((2, 3)), torch.ones(3, 21), atol=1e-5)
        and (stage.weights >= 0).all()
    )
    proposals = stage.pixels[:, :, None] + stage.offsets
    assert torch.allclose(
        (proposals * stage.weights[:, None]).sum((-2, -1)).transpose(1, 2), stage.joints, atol=1e-5
    )


def test_the_liveliest_masks_come_first_and_every_one_once(attention):
    mask = attention[1][1][0]
    order = attention_masks.liveliest(mask)
    assert sorted(order.tolist()) == list(range(len(mask)))
    assert (mask[order].flatten(1).std(1).diff() <= 1e-7).all()


@pytest.mark.parametrize("sensor", synth.sensors.SENSORS)
def test_a_sensor_of_strength_0_is_clean(frames, sensor):
    clean = sensor_noise.measured(frames, sensor, 0.0)
    assert torch.equal(clean, frames.hand_depth)
    assert sensor_noise.curve(frames, sensor, strengths=(0.0,)).item() == 0


@pytest.mark.parametrize("sensor", synth.sensors.SENSORS)
def test_a_frame_has_the_same_noise_alone_and_among_others(frames, sensor):
    alone = sensor_noise.measured(frames, sensor, 2.0, slice(1, 2))
    assert torch.equal(alone, sensor_noise.measured(frames, sensor, 2.0)[1:2])


def test_roughness_is_the_spread_where_both_have_measured():
    clean = torch.tensor([[[400.0, 400.0, 0.0, 400.0]]])
    assert sensor_noise.roughness(
        clean, torch.tensor([[[403.0, 396.0, 9.0, 0.0]]])
    ).item() == pytest.approx(math.sqrt((9 + 16) / 2))


def test_the_curve_of_a_network_is_its_mean_joint_error(frames, trained):
    curve = sensor_noise.curve(frames, "time of flight", trained, (0.0, 1.0))
    crops = prepare.crop(
        sensor_noise.measured(frames, "time of flight", 1.0),
        frames.camera,
        frames.joints.mean(1),
        250.0,
        frames.joints,
        frames.hands,
    )
    with torch.no_grad():
        said = trained.network.decode(trained.network(trained.network.encode(crops)), crops)
    assert curve[1].item() == pytest.approx(
        float(metrics.mean_joint_error(said, frames.joints)), rel=1e-5
    )


# --- live ---------------------------------------------------------------------


def both(pair) -> tuple[Any, Any]:
    """A network and its output, as a pair of known length."""
    return pair


LIVE = {
    "hand_to_pose": lambda made: hand_to_pose.live(),
    "perspective": lambda made: perspective.live(),
    "crop_cube": lambda made: crop_cube.live(made("frames"), made("frames").joints.mean(1)),
    "read_out": lambda made: read_out.live(
        made("frames").joints[0], made("frames").joints[0].mean(0), MSRA
    ),
    "mean_shift": lambda made: mean_shift.live(*both(made("densereg")), made("crops")),
    "pixel_votes": lambda made: pixel_votes.live(*both(made("jgr")), made("crops")),
    "attention_masks": lambda made: attention_masks.live(*both(made("attention"))),
    "sensor_noise": lambda made: sensor_noise.live(made("frames"), made("trained")),
}


@pytest.mark.parametrize("name", LIVE)
def test_the_controls_of_a_live_figure_change_it_and_closing_leaves_nothing(name, request):
    """No widget, layout or style in ipywidgets' registry, and no figure in pyplot's."""
    plt.close("all")
    before = set(_instances)
    live = LIVE[name](request.getfixturevalue)
    assert not live.message.value and Image.open(io.BytesIO(live.image.value)).size[0] > 200
    described = live.image.tooltip
    assert described and len(described) >= 20, "for readers who cannot see the picture"
    shown = {live.image.value}
    for key, control in live.controls.items():
        if isinstance(control, ipywidgets.Dropdown):
            if key != "network":  # a recorded one takes its time
                control.value = (
                    control.options[-1][1]
                    if isinstance(control.options[-1], tuple)
                    else control.options[-1]
                )
        elif isinstance(control, ipywidgets.Checkbox):
            control.value = not control.value
        else:
            control.value = control.max if control.value != control.max else control.min
        assert not live.message.value, f"{key}: {live.message.value}"
        shown.add(live.image.value)
    assert len(shown) > len(live.controls) / 3, "most controls change the picture"
    live.close()
    assert set(_instances) == before and not plt.get_fignums()


def test_the_poser_has_a_slider_for_each_degree_of_freedom_and_moves_the_hand():
    live = hand_to_pose.live()
    sliders = {name: live.controls[name] for name in hand.DOF}
    before, pose = live.image.value, live.arguments["pose"].clone()
    sliders["index mcp flexion"].value = 60
    assert live.image.value != before
    changed = (live.arguments["pose"] - pose).abs() > 1e-6
    assert changed.sum() == 1 and torch.isclose(
        live.arguments["pose"][changed], torch.tensor(60.0).deg2rad()
    )
    live.close()


def test_a_gesture_sets_its_angles_in_one_step(monkeypatch):
    live = hand_to_pose.live()
    drawn = []
    monkeypatch.setattr(
        live, "_picture", lambda **values: drawn.append(values) or plt.figure(figsize=(1, 1))
    )
    live.gesture.value = "fist"
    assert torch.allclose(live.arguments["pose"][6:].double(), poses.preset("fist"), atol=1e-5)
    assert len(drawn) == 1, "once for all twenty sliders"
    live.controls["index pip flexion"].value = 0
    assert live.gesture.value == "" and len(drawn) == 2, "which is no fist any more"
    live.close()


def test_the_picture_of_a_pose_is_a_pure_function(trained):
    pose = hand_to_pose.RESTING
    assert widgets.png(hand_to_pose.picture(pose)) == widgets.png(
        hand_to_pose.picture(pose.clone())
    )
    assert widgets.png(hand_to_pose.picture(pose, network=trained)) != widgets.png(
        hand_to_pose.picture(pose)
    )
    assert torch.equal(pose, torch.tensor([0.0, 60.0, 400.0] + [0.0] * 23)), "and changes nothing"


def test_what_a_picture_refuses_stands_as_text_above_the_last_one():
    def fussy(height):
        plt.figure()  # left open when it fails
        if height > 0.5:
            raise HandPoseError("height > ½ is <too high>")
        plt.close("all")
        return picture(height)

    live = Live(fussy, {"height": number("height", 0.2, 0, 1, 0.1)})
    good = live.image.value
    live.controls["height"].value = 0.9
    assert (
        html.unescape(live.message.value) == "height > ½ is <too high>"
        and "<too" not in live.message.value
    )
    assert live.image.value == good and live.arguments == {"height": 0.2} and not plt.get_fignums()
    live.controls["height"].value = 0.4
    assert not live.message.value and live.image.value != good
    live.close()
    drawn = live.image.value
    live.controls["height"].value = 0.1
    assert live.image.value == drawn, "a closed figure does not draw"


@pytest.mark.parametrize(
    ("draw", "says"),
    [
        (lambda made: hand_to_pose.picture(torch.zeros(25)), "26"),
        (lambda made: perspective.picture(distance=0.0), "distance 0.0 mm"),
        (lambda made: perspective.picture(aside=90.0), "90"),
        (lambda made: perspective.picture(gesture="wave"), "unknown pose 'wave'"),
        (
            lambda made: crop_cube.picture(made("frames"), made("frames").centre, side=0.0),
            "cubes > 0 mm",
        ),
        (lambda made: read_out.picture(torch.zeros(21, 2), 250.0), r"\(J, 3\)"),
        (lambda made: read_out.picture(torch.zeros(21, 3), 250.0, size=8, k=600), "k 600"),
        (lambda made: mean_shift.path(torch.zeros(5, 3), torch.zeros(4)), r"\(K,\)"),
        (
            lambda made: mean_shift.picture(*both(made("densereg")), made("crops"), candidates=0),
            "candidates 0",
        ),
        (
            lambda made: attention_masks.picture(*both(made("attention")), module=3),
            "unknown module 3",
        ),
        (
            lambda made: attention_masks.picture(*both(made("attention")), first=10_000),
            "first channel 10000",
        ),
        (lambda made: sensor_noise.picture(made("frames"), "radar"), "unknown sensor 'radar'"),
        (lambda made: sensor_noise.measured(made("frames"), strength=-1.0), "strength"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(draw, says, request):
    with pytest.raises(HandPoseError, match=says):
        draw(request.getfixturevalue)


@pytest.mark.parametrize("path", sorted(BOOK.glob("*/*.ipynb")), ids=lambda path: path.stem)
def test_a_live_figure_leaves_nothing_on_its_page_where_the_same_picture_moves(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    for place, cell in enumerate(cells):
        if re.search(r"\.live\(", cell.source):
            assert "remove-output" in cell.metadata.get("tags", []), (
                f"cell {cell.id!r} would leave an empty widget on the page"
            )
            assert any("flip_book(" in other.source for other in cells[:place]), (
                f"cell {cell.id!r}: nothing before it moves on the page"
            )
