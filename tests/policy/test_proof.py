import pytest

from undivided.policy.proof import proven

PASSED, FAILED = {"check": "http", "ok": True}, {"check": "http", "ok": False}


@pytest.mark.parametrize(
    ("recoveries", "expected"),
    [
        ([], set()),
        ([{"point": "a", "ok": True, "checks": [PASSED]}], {"a"}),
        ([{"point": "a", "ok": False, "checks": [PASSED]}], set()),
        ([{"point": "a", "ok": True, "checks": [PASSED, FAILED]}], set()),
        ([{"point": "a", "ok": True, "checks": []}], {"a"}),
        ([{"point": "a", "ok": True, "checks": []}, {"point": "b", "ok": True, "checks": [PASSED]}], {"b"}),
        ([{"point": "a", "ok": True}, {"point": "b", "ok": False}], {"a"}),
    ],
)
def test_a_point_is_proven_by_a_recovery_that_succeeded_and_best_by_one_that_was_checked(
    recoveries, expected
):
    assert proven(recoveries) == expected
