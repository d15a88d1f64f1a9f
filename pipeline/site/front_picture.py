"""Draws the picture of the front page and of README.md with the trained JGR-P2O of the book.

    python pipeline/site/front_picture.py

The picture shows one synthetic depth image with sensor noise, the crop that the network receives,
the joints that it predicts, and the same joints in space. It is committed: run this script again
when the records have changed.
"""

import argparse

import matplotlib.pyplot as plt
import torch
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d import Axes3D

from handpose_lib import paths, prepare, synth
from handpose_lib.camera import depth_to_points
from handpose_lib.evaluation import metrics
from handpose_lib.results import pretrained
from handpose_lib.teaching import figures

TARGET = paths.project() / "book" / "_static" / "front.png"
CANDIDATES = range(7000, 7064)


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    method, record = pretrained.load("jgr_p2o")
    joints_of = method.skeleton

    cube = record["protocol"]["cube"]
    frames = synth.frames(
        CANDIDATES, seed=3, setup="msra", distribution=synth.WIDE_VIEW, subjects=[8]
    )
    crops = prepare.crop(
        frames.depth,
        frames.camera,
        prepare.locate(frames.depth, frames.camera, cube=cube),
        cube,
        frames.joints,
        frames.hands,
    )
    x = method.encode(crops)
    predicted = method.decode(method(x), crops).detach()
    # Of the better half of the frames, the one whose fingertips are farthest apart in the image: a
    # folded hand shows little.
    errors = metrics.frame_errors(predicted, frames.joints, "mean")
    better = errors.argsort()[: len(errors) // 2]
    tips = [joints_of.fingers[finger][-1] for finger in joints_of.fingers]
    spread = torch.cdist(frames.joints[:, tips, :2], frames.joints[:, tips, :2]).sum((1, 2))
    n = int(better[spread[better].argmax()])

    figures.style()
    figure = plt.figure(figsize=(9, 2.8))  # a page shows it 768 pixels wide: text stays readable
    panels = [
        figure.add_subplot(1, 4, 1 + k, **({"projection": "3d"} if k == 3 else {}))
        for k in range(4)
    ]
    figures.depth_image(frames.depth[n], axes=panels[0], title="a depth image", zoom=30)
    panels[1].imshow(x[n, 0], cmap="gray_r", vmin=-1.6, vmax=2.2, extent=(-1, 1, 1, -1))
    panels[1].set(title="input of the network")
    panels[2].imshow(x[n, 0], cmap="gray_r", vmin=-1.6, vmax=2.2, extent=(-1, 1, 1, -1))
    figures.bones(prepare.to_view(predicted, crops)[n, :, :2], joints_of, panels[2])
    panels[2].set(title="predicted joints")
    for panel in panels[1:3]:
        panel.set(xticks=[], yticks=[], xlim=(-1, 1), ylim=(1, -1))
    points = depth_to_points(frames.depth[n], frames.camera)[frames.hand_mask[n]]
    figures.point_cloud(
        points[::4],
        predicted[n],
        joints_of,
        axes=panels[3],
        title="joints in space",
        view=(12, -62),
        size=2,
    )
    space = panels[3]
    assert isinstance(space, Axes3D)
    # The panel is too small for the numbers of three axes.
    space.set(xticks=[], yticks=[], xlabel="", ylabel="")
    space.zaxis.set_major_locator(MaxNLocator(3))
    space.tick_params(labelsize=11)
    space.zaxis.labelpad = 12
    figure.savefig(TARGET, dpi=110, bbox_inches="tight", pil_kwargs={"optimize": True})
    print(
        f"{TARGET.name}: {record.key}, synthetic frame {CANDIDATES[n]}, mean joint error"
        f" {float(errors[n]):.1f} mm"
    )


if __name__ == "__main__":
    main()
