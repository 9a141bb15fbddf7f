"""Points are pinned by anyone who may protect, and unpinned only with the passphrase."""

from __future__ import annotations

from undivided.testing.program import Program, open_shop


def pinned(program: Program) -> list[str]:
    return [point["id"] for point in program("points", "shop")["points"] if point["pinned"]]


def test_a_pinned_point_is_shown_as_pinned_until_it_is_unpinned(program):
    first, second = open_shop(program, 2)
    assert pinned(program) == []
    assert program("pin", "shop", first) == {
        "service": "shop",
        "points": [first],
        "pinned": True,
        "changed": [first],
    }
    assert program("pin", "shop", first, "latest")["changed"] == [second]
    assert pinned(program) == [first, second]
    assert "pinned" in program.run("points", "shop").stdout
    assert program("unpin", "shop", first)["changed"] == [first]
    assert pinned(program) == [second]
    program("catalog", "rebuild")
    assert pinned(program) == [second]


def test_pinning_needs_no_passphrase_and_unpinning_does(program):
    (point,) = open_shop(program, 1)
    program("pin", "shop", point, UNDIVIDED_PASSPHRASE="")
    assert "UNDIVIDED_PASSPHRASE" in program.fails("unpin", "shop", point, code=2, UNDIVIDED_PASSPHRASE="")
    program.fails("unpin", "shop", point, code=12, UNDIVIDED_PASSPHRASE="wrong")
    assert pinned(program) == [point]


def test_pinning_an_unknown_point_is_refused(program):
    open_shop(program, 1)
    assert "HINT:" in program.fails("pin", "shop", "nothing", code=2)
    assert "HINT:" in program.fails("pin", "nowhere", "latest", code=2)
    assert "HINT:" in program.fails("pin", "shop", code=2)
