"""Pictures that move: on a page behind a slider, and in a running notebook behind every knob.

    widgets.flip_book((perspective.picture(distance=z) for z in (300, 600)), ["300 mm", "600 mm"],
    "distance")
    perspective.live()                                # the same picture with all its sliders, in
                                                      JupyterLab

What a page needs stands here: `space`, `slider` and `show` for points in space, `flip_book` for
pictures. It works with no kernel behind it and with no network.

Each figure with more knobs has a module of its own, imported by name: `hand_to_pose`,
`perspective`, `crop_cube`, `read_out`, `mean_shift`, `pixel_votes`, `attention_masks`,
`sensor_noise`. Its `picture` is a pure function of its knobs that returns a matplotlib figure; its
`live` puts that function behind ipywidgets (`live.Live`), and `close()` of what comes back disposes
of everything. A cell that ends in a live figure is tagged `remove-output`: it is executed with its
chapter, and leaves nothing on the page, where the same picture moves in a `flip_book` before it.
"""

from handpose_lib.teaching.widgets.pages import flip_book, png, show, slider, space, to_html

__all__ = ["flip_book", "png", "show", "slider", "space", "to_html"]
