"""The command line: one table of commands, each named as text and imported when it is called.

A command lives in the file of its noun and is a plain function: its signature is its options, its docstring
is its help, and it returns the exit code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from inspect import signature
from typing import Any

from cyclopts import App, CycloptsError, Parameter

from .. import __version__
from ..model.errors import UsageError

HELP = "Protect and recover a service as one thing, at one instant."
EPILOGUE = (
    "First time? `undivided init`, then `undivided service apply FILE`, then `undivided protect SERVICE`."
)

_WITH_VALUE = ("--config", "--log-level")
"""Options of all commands that take a value."""

COMMANDS = {
    "init": "init:init",
    "service apply": "service:apply",
    "service list": "service:list_services",
    "service show": "service:show",
    "service remove": "service:remove",
    "service schema": "service:schema",
    "protect": "protect:protect",
    "points": "points:points",
    "status": "status:status",
    "recover": "recover:recover",
    "mount": "mount:mount",
    "find": "find:find",
    "diff": "diff:diff",
    "verify": "verify:verify",
    "repair": "repair:repair",
    "prune": "prune:prune",
    "pin": "pin:pin",
    "unpin": "pin:unpin",
    "policy simulate": "policy:simulate",
    "vault info": "vault:info",
    "vault kit": "vault:kit",
    "vault key list": "key:list_keys",
    "vault key new": "key:new",
    "vault key add": "key:add",
    "vault key remove": "key:remove",
    "vault key rotate": "key:rotate",
    "vault key renew": "key:renew",
    "catalog rebuild": "catalog:rebuild",
    "debug entry": "debug:entry",
    "debug pack": "debug:pack",
    "debug timeline": "debug:timeline",
    "completion install": "completion:install",
}

NOUNS = {
    "service": "Services and their components.",
    "policy": "What a service's policy means in points.",
    "vault": "The primary vault.",
    "vault key": "The passphrases, key files and commands that open the vault.",
    "catalog": "The catalog: a cache of the vault's log.",
    "debug": "A look inside the vault, for repairs.",
    "completion": "Completion for bash, zsh and fish.",
}


def application(*, whole: bool = True) -> App:
    """The tree of commands. whole: import every command, for help; else only the one that is called."""
    app = App(
        name="undivided",
        version=__version__,
        help=HELP,
        help_epilogue=EPILOGUE,
        help_format="plaintext",
        suppress_keyboard_interrupt=False,
        # No --no-x and no --empty-x: leaving x out does the same.
        default_parameter=Parameter(negative=(), show_default=_default),
        group_parameters="Options",
    )
    nouns = {"": app}
    order = list(COMMANDS)
    for path, text in NOUNS.items():
        parent, _, name = path.rpartition(" ")
        place = next(i for i, command in enumerate(order) if command.startswith(f"{path} "))
        nouns[path] = App(name=name, help=text, help_epilogue="", sort_key=place)
        nouns[parent].command(nouns[path])
    for place, (path, target) in enumerate(COMMANDS.items()):
        parent, _, name = path.rpartition(" ")
        module, _, function = target.partition(":")
        called = f"undivided.cli.{target}"
        found: Any = getattr(import_module(f"undivided.cli.{module}"), function) if whole else called
        usage = _usage(path, found) if whole else None
        nouns[parent].command(found, name=name, usage=usage, help_epilogue="", sort_key=place)
    return app


def _default(value: Any) -> Any:
    """As help shows it. None for a value that only stands for "left out"."""
    return value or None


def _usage(path: str, function: Callable[..., int]) -> str:
    """The usage line with the names of all arguments; the library's own calls the optional ones [ARGS]."""
    words = [f"Usage: undivided {path} [OPTIONS]"]
    for name, one in signature(function).parameters.items():
        if one.kind is one.VAR_POSITIONAL:
            words.append(f"[{name.upper()}...]")
        elif one.kind is one.POSITIONAL_ONLY:
            words.append(name.upper() if one.default is one.empty else f"[{name.upper()}]")
    return " ".join(words)


def dispatch(arguments: Sequence[str]) -> int:
    """Runs one command. Raises UsageError for an unknown command or option."""
    words = _globals_last(arguments)
    named = any(words[: len(path.split())] == path.split() for path in COMMANDS)
    app = application(whole=not named or "--help" in words or "-h" in words)
    try:
        result = app(words, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        raise UsageError(_cause(error), hint="Add --help to see the commands and options.") from None
    return result if isinstance(result, int) else 0


def _cause(error: CycloptsError) -> str:
    text = str(error).strip()
    return text[:1].lower() + text[1:]


def _globals_last(arguments: Sequence[str]) -> list[str]:
    """`undivided --config DIR --json points` means what `undivided points --config DIR --json` does."""
    rest = list(arguments)
    leading: list[str] = []
    while rest and (rest[0] == "--json" or rest[0].startswith(_WITH_VALUE)):
        leading.append(rest.pop(0))
        if leading[-1] in _WITH_VALUE and rest:
            leading.append(rest.pop(0))
    end = rest.index("--") if "--" in rest else len(rest)
    return [*rest[:end], *leading, *rest[end:]]
