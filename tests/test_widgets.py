"""Moving pictures: their content, and that a page needs neither a kernel nor a network for them."""

import base64
import io
import json
import re

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from handpose_lib import skeleton, widgets
from handpose_lib.errors import HandPoseError

MSRA = skeleton.get("msra21")


@pytest.fixture
def joints():
    return torch.rand(21, 3, generator=torch.Generator().manual_seed(1)) * 100


def test_space_holds_the_points_and_the_bones(joints):
    points = torch.rand(50, 3)
    figure = widgets.space({"cloud": points}, joints, MSRA, title="a hand")
    cloud, bones, ends = figure.data[0], figure.data[1:-1], figure.data[-1]
    assert np.allclose(np.stack((cloud.x, cloud.y, cloud.z), 1), points.numpy())
    assert np.allclose(np.stack((ends.x, ends.y, ends.z), 1), joints.numpy())
    assert sum(np.isfinite(line.x).sum() for line in bones) == 2 * len(MSRA.bones)
    assert tuple(ends.text) == MSRA.joints


def test_space_is_seen_from_the_camera_upright_and_to_scale(joints):
    scene = widgets.space(joints).layout.scene
    assert (scene.camera.up.x, scene.camera.up.y, scene.camera.up.z) == (0, -1, 0)
    assert scene.camera.eye.z < 0
    sides = np.array([np.ptp(scene[f"{axis}axis"].range) for axis in "xyz"])
    ratio = np.array([scene.aspectratio[axis] for axis in "xyz"])
    assert np.allclose(sides / sides.max(), ratio, rtol=1e-5)


def test_slider_shows_one_step_at_a_time_in_axes_that_hold_all(joints):
    figure = widgets.slider([widgets.space(joints), widgets.space(joints + 50, joints, MSRA)], ["a", "b"], name="step")
    first, second = (step.args[0]["visible"] for step in figure.layout.sliders[0].steps)
    assert [trace.visible for trace in figure.data] == list(first)
    assert all(a != b for a, b in zip(first, second))
    scene = figure.layout.scene
    assert scene.xaxis.range[0] <= float(joints[:, 0].min()) and scene.xaxis.range[1] >= float(joints[:, 0].max()) + 50
    sides = np.array([np.ptp(scene[f"{axis}axis"].range) for axis in "xyz"])
    assert np.allclose(sides / sides.max(), [scene.aspectratio[axis] for axis in "xyz"], rtol=1e-5)


def test_the_page_loads_the_book_s_own_plotly_and_nothing_from_the_network(joints):
    page = widgets.to_html(widgets.space(joints, alt='points with "quotes" & </script>'))
    assert '"_static/plotly.min.js"' in page and "content_root" in page
    assert not re.search(r"(src|href)\s*=\s*[\"']?https?:", page) and "cdn" not in page.lower()
    assert page.count("</script>") == 1, "nothing inside ends the script"
    assert 'aria-label="points with &quot;quotes&quot; &amp; &lt;/script&gt;"' in page
    content = re.search(r"const figure = (.*);\n", page).group(1)
    assert json.loads(content)["data"][0]["type"] == "scatter3d"


def test_the_same_figure_gives_the_same_page(joints):
    assert widgets.to_html(widgets.space(joints)) == widgets.to_html(widgets.space(joints))


def test_show_offers_plotly_s_json_and_html(joints, monkeypatch):
    bundles = []
    monkeypatch.setattr(widgets, "display", lambda bundle, raw: bundles.append(bundle))
    widgets.show(widgets.space(joints))
    assert set(bundles[0]) == {"application/vnd.plotly.v1+json", "text/html"}
    assert bundles[0]["application/vnd.plotly.v1+json"]["data"]


def picture(height):
    """A figure with a black bar of this height, on a background that is not white."""
    figure = plt.figure(figsize=(1, 1), facecolor="grey")
    figure.add_axes((0.5, 0, 0.5, height), facecolor="black")
    return figure


def test_flip_book_holds_every_picture_and_shows_the_first_chosen():
    page = widgets.flip_book((picture(height) for height in (0.1, 0.5)), ["low", "high"], "bar", alt='a "square"', start=1).data
    sources = json.loads(re.search(r"const sources = (\[.*?\])", page).group(1))
    assert len(sources) == 2 and page.count(sources[1]) == 2
    images = [Image.open(io.BytesIO(base64.b64decode(source.split(",", 1)[1]))).convert("RGBA") for source in sources]
    assert all(image.getpixel((0, 0)) == (255, 255, 255, 255) for image in images), "white and opaque"
    assert 'value="1"' in page and "<output>high</output>" in page
    assert 'alt="a &quot;square&quot;: high"' in page
    assert not plt.get_fignums(), "the figures are closed"


@pytest.mark.parametrize(("labels", "start"), [([], 0), (["a", "b"], 0), (["a"], 1)])
def test_a_flip_book_wants_a_label_for_each_picture(labels, start):
    with pytest.raises(HandPoseError, match="one label"):
        widgets.flip_book([picture(0.5)], labels, start=start)


@pytest.mark.parametrize("draw", [
    lambda: widgets.space(torch.zeros(5, 2)),
    lambda: widgets.space(torch.zeros(0, 3)),
    lambda: widgets.space(torch.zeros(5, 3), torch.zeros(21, 3)),
    lambda: widgets.space(torch.zeros(5, 3), torch.zeros(14, 3), MSRA),
    lambda: widgets.slider([], []),
])
def test_what_cannot_be_shown_is_refused(draw):
    with pytest.raises(HandPoseError):
        draw()


def test_the_poser_has_a_slider_for_each_degree_of_freedom_and_moves_the_hand():
    from handpose_lib.synth import hand

    box = widgets.hand_poser()
    accordion, shown = box.children[0].children[0], box.children[1]
    sliders = [slider for group in accordion.children for slider in group.children]
    assert [slider.description for slider in sliders] == list(hand.DOF)
    before, pose = shown.value, box.pose.clone()
    bend = sliders[hand.DOF.index("index mcp flexion")]
    bend.value = 60
    assert shown.value != before
    changed = (box.pose - pose).abs() > 1e-6
    assert changed.sum() == 1 and torch.isclose(box.pose[changed], torch.tensor(60.0).deg2rad())
    assert Image.open(io.BytesIO(shown.value)).size[0] > 100


def test_the_picture_of_a_pose_is_a_pure_function():
    pose = torch.zeros(26)
    pose[2] = 400
    assert widgets.png(widgets.hand_picture(pose)) == widgets.png(widgets.hand_picture(pose))
