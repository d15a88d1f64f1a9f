"""A reader's own depth image: reading any file, camera presets, finding hands, and the answer.

    settings = own_images.settings.check({"camera": "d435"})
    read = own_images.reading.frame("depth.png", settings)
    answer = own_images.answers.answer(read.frame, settings, read.unit_mm)
    answer.hands[0].joints, answer.hands[0].says

The chapter *Try it on a real depth image* and `python -m handpose_lib` are thin layers over this
package.
"""
