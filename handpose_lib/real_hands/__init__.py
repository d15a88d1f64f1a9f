"""The network for real depth images, trained on rendered frames of `synth.FIELD` alone.

    network = network_.load()                                       # the book's
    joints = network.joints(depth, camera, centre, hands)           # (B, 21, 3) mm

It is a chapter of its own and no reproduction: none of its numbers stands beside those that papers
give for their data sets.
"""
