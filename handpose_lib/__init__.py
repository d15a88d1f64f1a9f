"""3D hand pose estimation from a single depth image: the library behind the book.

Modules are imported by name (``from handpose_lib import camera, papers``); importing the package
itself loads nothing, so that a chapter depends on what it uses and on nothing else.
"""

__version__ = "0.1.0"
