"""Interactive figures: with a slider on a page, with all controls in a running notebook.

    pictures = (perspective.picture(distance=z) for z in (300, 600))
    widgets.flip_book(pictures, ["300 mm", "600 mm"], "distance")
    perspective.live()                            # the same figure with all sliders, in JupyterLab

The functions here are for pages: `space`, `slider` and `show` for points in space, `flip_book` for
pictures. They need neither a kernel nor a network connection.

Each figure with more settings has a module of its own, imported by name: `hand_to_pose`,
`perspective`, `crop_cube`, `read_out`, `mean_shift`, `pixel_votes`, `attention_masks`,
`sensor_noise`. Its `picture` is a pure function of its settings that returns a matplotlib figure.
Its `live` connects that function to ipywidgets (`live.Live`); `close()` of the result removes all
of them. A cell that ends in a live figure is tagged `remove-output`: it is executed with its
chapter, but the page shows the same figure as a `flip_book` in the cell before.

`label_frames.LabelFrames` is a tool, not a figure: joints are labelled in it by clicks.
"""

from handpose_lib.teaching.widgets.pages import flip_book, png, show, slider, space, to_html

__all__ = ["flip_book", "png", "show", "slider", "space", "to_html"]
