"""The joints of an answer as CSV and JSON, and its files.

report.csv([answer]); report.json_value(answer); report.write([answer], folder)
"""

import csv as formats
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from handpose_lib import paths
from handpose_lib.camera import xyz_to_uvd
from handpose_lib.io import storage
from handpose_lib.own_images import answers, predictions
from handpose_lib.own_images.answers import Answer
from handpose_lib.own_images.predictions import Hand

COLUMNS = (
    "image",
    "hand",
    "side",
    "joint",
    "u_px",
    "v_px",
    "x_mm",
    "y_mm",
    "z_mm",
    "disagreement_mm",
)


def rows(answer: Answer) -> list[tuple]:
    """Return one row per joint, in the order of `COLUMNS`.

    Pixels count from the centre of the first one; x points right, y down, z away from the camera.
    """
    return [
        (answer.frame.id, number, hand.side, name, *pixel, *point, doubt)
        for number, hand in enumerate(answer.hands, start=1)
        for name, pixel, point, doubt in zip(
            predictions.skeleton().joints, *_values(answer, hand), strict=True
        )
    ]


def csv(found: Sequence[Answer]) -> str:
    """Return the joints of some answers as the text of a CSV file with a header."""
    text = io.StringIO()
    writer = formats.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(row for answer in found for row in rows(answer))
    return text.getvalue()


def json_value(answer: Answer) -> dict[str, Any]:
    """Return all that is known about an answer as plain JSON values."""
    hands = []
    for number, hand in enumerate(answer.hands, start=1):
        pixels, points, doubts = _values(answer, hand)
        hands.append(
            {
                "hand": number,
                "side": hand.side,
                "side_is_clear": hand.decided,
                "probability": round(hand.found.probability, 4),
                "scale": round(hand.found.scale, 3),
                "measures": {name: round(value, 4) for name, value in hand.measures.items()},
                "says": [answers.summary(hand), *hand.says],
                "joints": [
                    {"joint": name, "uv_px": pixel, "xyz_mm": point, "disagreement_mm": doubt}
                    for name, pixel, point, doubt in zip(
                        predictions.skeleton().joints, pixels, points, doubts, strict=True
                    )
                ],
            }
        )
    return {
        "image": answer.frame.id,
        "camera": vars(answer.frame.camera),
        "network": predictions.network().record.key,
        "trust": answers.trust(),
        "remarks": list(answer.remarks),
        "hands": hands,
    }


def write(found: Sequence[Answer], folder: Path | None = None) -> tuple[Path, Path]:
    """Write `joints.csv` and `joints.json` of some answers; return their paths.

    `folder`: None for `own_images` in the folder of generated files.
    """
    folder = paths.build() / "own_images" if folder is None else folder
    return (
        storage.write_text(folder / "joints.csv", csv(found)),
        storage.write_json(
            folder / "joints.json", {"images": [json_value(answer) for answer in found]}
        ),
    )


def _values(answer: Answer, hand: Hand) -> tuple[list[list[float]], list[list[float]], list[float]]:
    """Return pixels, points in mm and disagreements in mm of the joints, rounded to 0.01."""
    uv = xyz_to_uvd(hand.joints, answer.frame.camera)[:, :2]
    return (
        [[round(value, 2) for value in pixel] for pixel in uv.tolist()],
        [[round(value, 2) for value in point] for point in hand.joints.tolist()],
        [round(value, 2) for value in hand.doubt.tolist()],
    )
