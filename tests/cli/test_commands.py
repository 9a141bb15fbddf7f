"""Every command has help, an example, and its place in docs/commands.md; every answer is documented."""

from __future__ import annotations

import inspect
import re
import shlex
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from undivided.cli.app import COMMANDS, NOUNS, application

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "commands.md").read_text()


MAPS = {"components": "NAME", "objects": "KIND"}
"""Fields whose keys are names of their own."""


def section(path: str) -> str:
    found = re.search(rf"^## undivided {re.escape(path)}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    assert found, f"docs/commands.md has no section of `{path}`"
    return found[1]


def documented(path: str) -> set[str]:
    return set(re.findall(r"^\| `([^`]+)` \|", section(path), re.M))


def fields(value: Any, name: str = "") -> set[str]:
    """The paths of an answer's fields, as the page writes them."""
    if isinstance(value, dict) and value:
        own = MAPS.get(name.rpartition(".")[2])
        dot = "." if name else ""
        return set().union(*(fields(v, f"{name}{dot}{own or key}") for key, v in value.items()))
    if isinstance(value, list) and value:
        return set().union(*(fields(item, f"{name}[]") for item in value))
    return {name}


def undocumented(path: str, answer: dict[str, Any]) -> set[str]:
    """Fields of an answer that the page does not have. An empty list or null shows nothing of what it would
    hold, and what is written as one field may hold anything."""
    known = documented(path)

    def has(field: str) -> bool:
        return any(
            field == k or k.startswith((f"{field}[", f"{field}.")) or field.startswith(f"{k}.") for k in known
        )

    return {field for field in fields(answer) if not has(field)}


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_help_with_an_example_of_itself(path, capsys):
    application()([*path.split(), "--help"], result_action="return_value")
    said = capsys.readouterr().out
    example = re.search(r"^Example: (.+)$", said, re.M)
    assert example, said
    assert example[1].startswith(f"undivided {path}")


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_and_argument_is_explained(path, capsys):
    application()([*path.split(), "--help"], result_action="return_value")
    said = capsys.readouterr().out
    for line in said.splitlines():
        assert not re.match(
            r"│ +\*? *(--[a-z-]+|[A-Z]+)( [A-Z]+)? +(\[(required|default)[^\]]*\] *)?│$", line
        ), line


@pytest.mark.parametrize("path", COMMANDS)
def test_the_usage_names_every_argument_and_no_default_stands_for_left_out(path, capsys):
    application()([*path.split(), "--help"], result_action="return_value")
    said = capsys.readouterr().out
    usage = said.splitlines()[0]
    assert usage.startswith(f"Usage: undivided {path} [OPTIONS]")
    arguments = re.findall(r"^│ +\*? *([A-Z]+)  ", said, re.M)
    assert re.findall(r"[A-Z]+", usage.partition("[OPTIONS]")[2]) == arguments
    assert not re.search(r"default: *│?\s*│? *(False|\"\"|\(\)|None)", said)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_is_documented_with_the_same_example(path, capsys):
    application()([*path.split(), "--help"], result_action="return_value")
    example = re.search(r"^Example: (.+)$", capsys.readouterr().out, re.M)
    assert example
    assert f"    {example[1]}\n" in section(path)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_example_is_a_call_that_the_program_understands(path):
    example = re.search(r"^    (undivided .+)$", section(path), re.M)
    assert example
    words = shlex.split(example[1].partition(" > ")[0])[1:]
    application().parse_args(words, exit_on_error=False, print_error=False)


def test_the_page_has_only_commands_of_the_program():
    assert set(re.findall(r"^## undivided (.+)$", PAGE, re.M)) == set(COMMANDS)


@pytest.mark.parametrize("path", NOUNS)
def test_a_noun_alone_lists_its_commands(path, program):
    said = program.run(*path.split()).stdout
    for command in COMMANDS:
        if command.startswith(f"{path} "):
            assert command.removeprefix(f"{path} ").split()[0] in said


def test_every_command_on_the_operations_page_is_understood():
    page = (DOCS / "operations.md").read_text()
    calls = re.findall(r"^ {4,}(?:mkdir \S+ && )?(undivided [^#\n]+)", page, re.M)
    assert len(calls) > 10
    for call in calls:
        words = shlex.split(call.partition(" > ")[0])[1:]
        application().parse_args(words, exit_on_error=False, print_error=False)


ANSWERS = {
    "init": ["init"],
    "service apply": ["service", "apply", "shop.yaml"],
    "service list": ["service", "list"],
    "service show": ["service", "show", "shop"],
    "protect": ["protect", "shop"],
    "points": ["points", "shop"],
    "find": ["find", "*.txt"],
    "verify": ["verify", "--read-data"],
    "pin": ["pin", "shop", "latest"],
    "unpin": ["unpin", "shop", "latest"],
    "policy simulate": ["policy", "simulate", "shop", "--keep", "last=1", "--mark", "1h"],
    "prune": ["prune", "--dry-run"],
    "vault info": ["vault", "info"],
    "vault kit": ["vault", "kit"],
    "vault key list": ["vault", "key", "list"],
    "vault key rotate": ["vault", "key", "rotate", "--dry-run"],
    "vault key renew": ["vault", "key", "renew"],
    "catalog rebuild": ["catalog", "rebuild"],
    "debug entry": ["debug", "entry", "2"],
    "completion install": ["completion", "install", "bash"],
}


@pytest.mark.parametrize("path", ANSWERS)
def test_every_field_of_an_answer_is_documented(path, scene):
    assert not undocumented(path, scene(*ANSWERS[path]))


def test_every_field_of_a_recovery_is_documented(scene):
    place = scene.home / "documented"
    assert not undocumented("recover", scene("recover", "shop", "--to", place, "--dry-run"))
    assert not place.exists()
    assert not undocumented("recover", scene("recover", "shop", "--to", place))
    shutil.rmtree(place)
    assert not undocumented("status", scene("status"))


def test_every_field_of_a_new_key_is_documented(scene):
    assert not undocumented("vault key new", scene("vault", "key", "new", "documented.key"))
    assert not undocumented("vault key add", scene("vault", "key", "add", "--key-file", "documented.key"))


def test_every_field_of_a_difference_is_documented(scene):
    first, *_, last = [p["id"] for p in scene("points", "shop")["points"]]
    assert not undocumented("diff", scene("diff", "shop", first, last))
    assert not undocumented("diff", scene("diff", "shop", first))


def test_every_field_of_a_look_inside_the_vault_is_documented(scene):
    pack = max((scene.config / "vault" / "packs").rglob("*"), key=lambda path: len(path.name)).name
    found = scene("debug", "pack", pack[:12])
    assert found["object"].endswith(pack) and not found["damage"]
    assert not undocumented("debug pack", found)
    last = max(int(path.name) for path in (scene.config / "vault" / "log").iterdir())
    entries = [scene("debug", "entry", n) for n in range(1, last + 1)]
    assert not set.union(*(undocumented("debug entry", entry) for entry in entries))
    timeline = next(id for entry in entries for id in entry["links"].get("heads", ()))
    found = scene("debug", "timeline", timeline[:10], UNDIVIDED_PASSPHRASE="")
    assert found["timeline"] == timeline and found["points"]
    assert not undocumented("debug timeline", found)
    shown = scene.run("debug", "pack", pack[:12]).stdout + scene.run("debug", "timeline", timeline).stdout
    assert pack in shown and "component" in shown
    assert "kind: " in scene.run("debug", "entry", 3).stdout
    assert "HINT:" in scene.fails("debug", "pack", "00", code=2)


def test_completion_knows_the_commands(scene):
    for shell in ("bash", "zsh", "fish"):
        for file in scene("completion", "install", shell)["files"]:
            assert "recover" in Path(file).read_text()


@pytest.mark.parametrize("path", COMMANDS)
def test_help_begins_with_one_line_and_fits_a_terminal(path):
    module, _, function = COMMANDS[path].partition(":")
    text = inspect.getdoc(getattr(import_module(f"undivided.cli.{module}"), function))
    assert text
    lines = text.splitlines()
    assert lines[0].endswith(".") and len(lines[0]) <= 66
    assert not lines[1]
    assert all(
        len(line) <= 76 for line in lines[: lines.index("Parameters") if "Parameters" in lines else None]
    )
