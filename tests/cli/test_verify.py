"""verify and repair at the command line: depths, a time box, and what they say of the vault's proof."""

from __future__ import annotations

from pathlib import Path

from undivided.testing.program import Program, open_shop


def test_points_are_decoded_and_the_age_of_the_verification_is_shown(program: Program) -> None:
    (point,) = open_shop(program, 1)
    assert program("status")["verification"] is None
    decoded = program("verify", "--points", "latest", "--points", "3", "--for", "10m")
    assert decoded["points_decoded"] == [point]
    assert decoded["packs_read"] == 0
    assert program("verify", "--points", point[:18])["points_decoded"] == [point]
    read = program("verify", "--read-data")
    assert read["packs_read"] == read["verification_age"]["packs"] > 0
    assert program("verify", "--read-data", "--within", "7d")["packs_read"] == 0
    for answer in (program("status"), program("vault", "info")):
        assert answer["verification"]["never"] == 0


def test_an_unknown_point_or_a_wrong_time_is_refused(scene: Program) -> None:
    scene.fails("verify", "--points", "20990101T0000", code=2)
    scene.fails("verify", "--for", "30", code=2)


def test_a_whole_vault_has_nothing_to_repair(scene: Program) -> None:
    done = scene("repair", "--read-data")
    assert done["remedies"] == done["repaired"] == done["quarantined"] == []


def test_another_vault_is_no_copy(scene: Program, tmp_path: Path) -> None:
    other = Program(tmp_path)
    other("init")
    failed = scene.fails("repair", "--from", str(other.config / "vault"), code=2)
    assert "another vault" in str(failed)
