"""completion install: where a shell looks for completion scripts, and the words of an installation."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.files import file_errors
from ..host.atomic_files import make_directories, replace_file
from ..model.errors import UsageError

_PATHS = {
    "bash": ".local/share/bash-completion/completions/{name}",
    "zsh": ".zfunc/_{name}",
    "fish": ".config/fish/completions/{name}.fish",
}
_HINTS = {
    "bash": "Open a new shell. The package bash-completion must be installed.",
    "zsh": "Add `fpath+=~/.zfunc; autoload -Uz compinit; compinit` to ~/.zshrc and open a new shell.",
    "fish": "Open a new shell.",
}
_PROGRAMS = ("undivided", "und")


@dataclass(frozen=True)
class Completion:
    """hint: what the user does next."""

    shell: str
    files: tuple[Path, ...]
    hint: str

    def as_record(self) -> dict[str, Any]:
        return {"shell": self.shell, "files": [str(file) for file in self.files]}


def install_completion(shell: str | None, script: Callable[[str, str], str]) -> Completion:
    """For the user who runs this. shell: None for the one of $SHELL. script: (shell, program) → the
    completion script; a face knows its own commands."""
    chosen = shell or os.path.basename(os.environ.get("SHELL", ""))
    if chosen not in _PATHS:
        raise UsageError(
            f"there is no completion for the shell {chosen!r}", hint="Name one of bash, zsh, fish."
        )
    files = []
    for program in _PROGRAMS:
        path = Path.home() / _PATHS[chosen].format(name=program)
        with file_errors(f"write {path}"):
            make_directories(path.parent)
            replace_file(path, script(chosen, program).encode(), 0o644)
        files.append(path)
    return Completion(chosen, tuple(files), _HINTS[chosen])
