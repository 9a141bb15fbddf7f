import os
import shutil
import stat

from undivided.testing.program import PASSPHRASE, open_shop


def test_init_makes_configuration_keys_and_vault_that_only_the_owner_can_read(program):
    answer = program("init")
    assert answer["config"] == str(program.config)
    assert answer["steps"] == ["made_directories", "made_vault", "wrote_keys", "wrote_config"]
    assert (program.config / "vault" / "vault.json").exists()
    for path in (program.config / "config.yaml", program.config / "keys" / "near.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for path in (program.config, program.config / "keys", program.config / "state"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_init_again_changes_nothing_and_needs_no_passphrase(program):
    first = program("init")
    before = {p: p.read_bytes() for p in program.config.rglob("*") if p.is_file() and "catalog" not in p.name}
    again = program("init", UNDIVIDED_PASSPHRASE="")
    assert again["steps"] == []
    assert again["id"] == first["id"]
    for path, content in before.items():
        assert path.read_bytes() == content


def test_the_vault_can_be_elsewhere_and_stays_where_it_was_put(program):
    answer = program("init", "--vault", program.home / "far away")
    assert answer["vault"] == str(program.home / "far away")
    assert program("init")["vault"] == answer["vault"]
    said = program.fails("init", "--vault", program.home / "other", code=2)
    assert "already" in said
    assert "HINT:" in said
    assert not (program.home / "other").exists()


def test_a_vault_that_exists_is_joined_by_its_passphrase(program):
    first = program("init", "--vault", program.home / "vault")
    shutil.rmtree(program.config)
    program.fails("init", "--vault", program.home / "vault", code=12, UNDIVIDED_PASSPHRASE="wrong")
    again = program("init", "--vault", program.home / "vault")
    assert again["id"] == first["id"]
    assert again["steps"] == ["joined_vault", "wrote_keys", "wrote_config"]


def test_an_interrupted_init_is_finished_by_the_next_one(program):
    whole = program("init")
    keys = (program.config / "keys" / "near.key").read_bytes()
    (program.config / "keys" / "near.key").unlink()
    assert program("init")["id"] == whole["id"]
    assert (program.config / "keys" / "near.key").read_bytes() == keys
    (program.config / "config.yaml").unlink()
    assert program("init")["id"] == whole["id"]
    shutil.rmtree(program.config / "state")
    assert program("init")["id"] == whole["id"]


def test_an_unfinished_vault_is_completed_by_the_next_init(program):
    program("init")
    vault = program.config / "vault"
    shutil.copytree(vault / "keys", program.home / "begun" / "keys")
    shutil.copy(vault / "README", program.home / "begun" / "README")
    shutil.rmtree(program.config)
    program("init", "--vault", program.home / "begun")
    assert len(program("vault", "key", "list")["keys"]) == 1
    assert program("find", "*")["versions"] == []


def test_a_directory_that_holds_something_else_is_left_alone(program):
    place = program.home / "photos"
    place.mkdir()
    (place / "holiday.jpg").write_bytes(b"sea")
    program.fails("init", "--vault", place, code=2)
    assert os.listdir(place) == ["holiday.jpg"]


def test_without_a_passphrase_and_a_terminal_the_hint_explains_how_to_give_one(program):
    said = program.fails("init", code=2, UNDIVIDED_PASSPHRASE="")
    assert "UNDIVIDED_PASSPHRASE_FILE" in said
    assert not (program.config / "vault").exists()
    assert not (program.config / "config.yaml").exists()


def test_the_passphrase_can_come_from_a_file_or_a_command(program):
    (program.home / "secret").write_text(PASSPHRASE + "\n")
    first = program("init", UNDIVIDED_PASSPHRASE="", UNDIVIDED_PASSPHRASE_FILE=str(program.home / "secret"))
    (program.config / "keys" / "near.key").unlink()
    again = program(
        "init", UNDIVIDED_PASSPHRASE="", UNDIVIDED_PASSPHRASE_COMMAND=f"cat '{program.home}/secret'"
    )
    assert again["id"] == first["id"]


def test_a_missing_passphrase_file_is_reported(program):
    said = program.fails("init", code=2, UNDIVIDED_PASSPHRASE="", UNDIVIDED_PASSPHRASE_FILE="/nonexistent")
    assert "/nonexistent" in said
    assert "UNDIVIDED_PASSPHRASE_FILE" in said


def test_the_passphrase_is_nowhere_on_disk(program):
    program("init")
    for path in program.config.rglob("*"):
        if path.is_file():
            assert PASSPHRASE.encode() not in path.read_bytes()


def test_the_steps_of_the_readme_in_a_vault_work_on_a_machine_that_has_nothing_else(program):
    open_shop(program, 1)
    vault = program.home / "found"
    shutil.move(program.config / "vault", vault)
    shutil.rmtree(program.config)
    lines = [line.strip() for line in (vault / "README").read_text().splitlines()]
    commands = [line.split()[1:] for line in lines if line.startswith("undivided ")]
    assert [command[0] for command in commands] == ["init", "points", "recover"]
    places = {"THIS_DIRECTORY": vault, "SERVICE": "shop", "ANOTHER_DIRECTORY": program.home / "back"}
    for command in commands:
        program(*(places.get(word, word) for word in command))
    assert sorted(path.name for path in (program.home / "back").iterdir()) == ["db", "site"]
