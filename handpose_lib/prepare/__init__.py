"""From a depth image to what a network sees: locate, crop, augment, view.

    centre = locate(depth, camera)                  # (B, 3) mm, a point in the hand
    crops = crop(depth, camera, centre, cube=250)   # native-resolution windows, a batch
    crops = augment(crops, generator)               # another view of the same windows
    x = image(crops, 96)                            # (B, 1, 96, 96) in [-1, 1]

`batch` does the first two for a list of frames. Everything is batched PyTorch code that runs on the
device of the batch.
"""

from handpose_lib.prepare.augment import augment
from handpose_lib.prepare.crop import batch, crop
from handpose_lib.prepare.locate import locate, true_centre
from handpose_lib.prepare.view import cube_to_xyz, from_view, image, to_view, xyz_to_cube

__all__ = [
    "augment",
    "batch",
    "crop",
    "cube_to_xyz",
    "from_view",
    "image",
    "locate",
    "to_view",
    "true_centre",
    "xyz_to_cube",
]
