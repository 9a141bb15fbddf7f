import pytest

from undivided.model.service import Objectives
from undivided.policy.objectives import SECOND, verdict

NOW = 1_900_000_000 * SECOND


@pytest.mark.parametrize(
    ("rpo", "age", "met", "text"),
    [
        (15, 10, True, "within 15s"),
        (15, 15, True, "within 15s"),
        (15, 20, False, "over by 5s"),
        (15, -60, True, "within 15s"),
        (None, 10, None, "no objective"),
        (15, None, False, "no point yet"),
        (None, None, None, "no point yet"),
    ],
)
def test_the_rpo_is_met_while_the_newest_point_is_no_older(rpo, age, met, text):
    newest = None if age is None else NOW - age * SECOND
    judged = verdict(Objectives(rpo=rpo), newest, NOW)
    assert (judged.met, judged.text) == (met, text)
    assert judged.age is None or judged.age >= 0
