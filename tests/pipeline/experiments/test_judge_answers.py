"""Judging answers: every image counts once, and what is counted is what the answers give."""

from handpose_lib.own_images import reliability
from handpose_lib.real_hands import network
from handpose_lib.results import records
from pipeline.experiments import judge_answers


def test_every_image_counts_once(tmp_path):
    out = tmp_path / "answers"
    options = ["--frames", "3", "--workers", "1", "--out", str(out)]
    assert judge_answers.main(options) == 0
    held_out = records.load(out, network.KIND)["held_out"]
    assert held_out["frames"] == 3
    for half, persons in judge_answers.PERSONS.items():
        assert held_out["persons"][half] == len(persons)
        hands, none = (held_out[half][kind] for kind in ("with_hand", "without_hand"))
        assert {len(values) for name, values in hands.items() if name != "refused"} == {
            3 - hands["refused"]
        }
        assert none["refused"] + len(none.get("scale", [])) <= 3
        assert {*reliability.WORSE, "scale", "remaining_mm", "at_border"} < set(hands)
    assert not set(judge_answers.PERSONS["limits"]) & set(judge_answers.PERSONS["rates"])


def test_the_same_image_gets_the_same_measures():
    first, again = (judge_answers.judge("rates", 2) for _ in range(2))
    assert first == again
    wider = judge_answers.judge("rates", 3)
    assert first["with_hand"]["error_mm"] == wider["with_hand"]["error_mm"][:2]
