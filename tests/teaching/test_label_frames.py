"""The labelling tool: a click lands on the pixel it shows, and labels survive saving and undo."""

from dataclasses import replace

import matplotlib

matplotlib.use("Agg")

import pytest
import torch
from matplotlib.text import Annotation

from handpose_lib.camera import Camera
from handpose_lib.errors import DataError, HandPoseError
from handpose_lib.evaluation import labels
from handpose_lib.evaluation.labels import SKELETON, Label
from handpose_lib.frames import DepthFrame
from handpose_lib.teaching import label_pictures
from handpose_lib.teaching.widgets.label_frames import ZOOM, LabelFrames

CAMERA = Camera(60.0, 60.0, 39.5, 29.5, 80, 60)


def frame(name):
    depth = torch.full((60, 80), 900.0)
    depth[20:40, 30:50] = 500.0
    depth[25, 35] = 0.0
    return DepthFrame(depth, CAMERA, id=name)


@pytest.fixture
def tool(tmp_path):
    made = LabelFrames([frame("a"), frame("b")], tmp_path / "labels.json", "mine", "me")
    yield made
    made.close()


def place_in_picture(box, u, v, zoom):
    """Where `picture` draws the pixel (u, v), from the upper left corner, by matplotlib itself."""
    figure = label_pictures.picture(frame("a"), box, zoom=zoom)
    x, y = figure.axes[0].transData.transform((u, v))
    return x, figure.get_figheight() * label_pictures.DPI - y


@pytest.mark.parametrize("zoom", [1, 8])
@pytest.mark.parametrize("style", label_pictures.STYLES)
def test_a_click_means_the_pixel_that_is_drawn_there(zoom, style):
    box = (20, 10, 60, 50)
    figure = label_pictures.picture(frame("a"), box, style=style, zoom=zoom)
    for u, v in ((20.0, 10.0), (41.5, 30.25), (59.0, 49.0)):
        x, y = figure.axes[0].transData.transform((u, v))
        y = figure.get_figheight() * label_pictures.DPI - y
        assert label_pictures.pixel(box, x, y, zoom) == pytest.approx((u, v), abs=0.02)


def test_the_first_click_chooses_the_window_and_the_next_ones_place_joints(tool):
    tool.at(40, 30)
    box = tool.labels.windows["a"]
    assert box[0] < 40 < box[2] and box[1] < 30 < box[3] and not tool.labels.frames
    tool.click(*place_in_picture(box, 33.25, 31.0, ZOOM))
    assert tool.joint.value == SKELETON.joints[1]
    tool.kind.value = "inside"
    tool.image.field.value = " ".join(map(str, (*place_in_picture(box, 45.0, 22.5, ZOOM), 1)))
    first, second = (tool.labels.frames["a"][joint] for joint in SKELETON.joints[:2])
    assert (first.u, first.v, first.kind) == (pytest.approx(33.25), pytest.approx(31), "surface")
    assert (second.u, second.v, second.kind) == (pytest.approx(45), pytest.approx(22.5), "inside")


def test_a_click_beside_the_image_does_nothing(tool):
    tool.click(0, 0)
    tool.at(-3, 10)
    assert not tool.labels.windows and not tool.labels.frames


def test_what_is_saved_is_read_and_continued(tool):
    tool.at(40, 30)
    tool.at(35, 32)
    tool.save.click()
    assert labels.read(tool.path) == tool.labels
    again = LabelFrames([frame("a"), frame("b")], tool.path)
    assert again.labels == tool.labels
    assert again.labels.frames["a"] == {"wrist": Label(35.0, 32.0)}
    again.close()


def test_undo_returns_to_the_labels_before(tool):
    states = [replace(tool.labels, frames={}, windows={})]
    for u, v in ((40, 30), (35, 32), (36, 33)):
        tool.at(u, v)
        states.append(
            replace(
                tool.labels,
                frames={k: dict(m) for k, m in tool.labels.frames.items()},
                windows=dict(tool.labels.windows),
            )
        )
    tool.joint.value = "wrist"
    tool.remove.click()
    assert "wrist" not in tool.labels.frames["a"]
    for state in reversed(states):
        tool.undo.click()
        assert tool.labels == state
    tool.undo.click()
    assert tool.labels == states[0]


def test_next_frame_starts_at_the_first_joint_of_an_unlabelled_frame(tool):
    tool.at(40, 30)
    tool.at(35, 32)
    tool.next.click()
    assert tool.frame.value == "b" and tool.joint.value == SKELETON.joints[0]
    tool.next.click()
    assert tool.frame.value == "a"


def test_frames_without_names_of_their_own_and_damaged_files_are_refused(tmp_path):
    with pytest.raises(HandPoseError, match="id of its own"):
        LabelFrames([frame("a"), frame("a")], tmp_path / "labels.json")
    with pytest.raises(HandPoseError, match="at least one"):
        LabelFrames([], tmp_path / "labels.json")
    (tmp_path / "half.json").write_text("{")
    with pytest.raises(DataError, match="not a JSON file"):
        LabelFrames([frame("a")], tmp_path / "half.json")


def test_the_picture_shows_the_hand_and_its_labels():
    marks = {
        "wrist": Label(35, 35),
        "index mcp": Label(36, 30),
        "index pip": Label(37, 26, "inside"),
    }
    box = label_pictures.window(frame("a"), marks, margin=5)
    assert box == (30, 21, 42, 40)
    axes = label_pictures.picture(frame("a"), box, marks).axes[0]
    drawn = {note.get_text(): note.xy for note in axes.texts if isinstance(note, Annotation)}
    assert drawn == {joint: (mark.u, mark.v) for joint, mark in marks.items()}
    bare = label_pictures.picture(frame("a"), box).axes[0]
    assert not bare.texts and not bare.lines
    with pytest.raises(HandPoseError, match="2×2 pixels"):
        label_pictures.picture(frame("a"), (90, 0, 99, 9))
    with pytest.raises(HandPoseError, match="style"):
        label_pictures.picture(frame("a"), box, style="photo")


def test_the_drawing_names_every_joint_and_marks_the_chosen_one():
    texts = label_pictures.figure_of_joints("ring pip").axes[0].texts
    assert [text.get_text() for text in texts] == [*SKELETON.joints]
    assert [t.get_text() for t in texts if t.get_fontweight() == "bold"] == ["ring pip"]
