"""`undivided completion …`: the shell finishes words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from ..host.paths import make_directory, save
from ..model.errors import UsageError
from .options import COMMON, Common
from .output import emit

Shell = Literal["bash", "zsh", "fish"]

_PLACES = {
    "bash": ".local/share/bash-completion/completions/{name}",
    "zsh": ".zfunc/_{name}",
    "fish": ".config/fish/completions/{name}.fish",
}
_HINTS = {
    "bash": "Open a new shell. The package bash-completion has to be installed.",
    "zsh": "Put `fpath+=~/.zfunc; autoload -Uz compinit; compinit` into ~/.zshrc and open a new shell.",
    "fish": "Open a new shell.",
}


def install(shell: Shell | None = None, /, *, common: Common = COMMON) -> int:
    """Install completion for a shell.

    For `undivided` and `und`, and for the user who calls this.

    Example: undivided completion install bash

    Parameters
    ----------
    shell:
        bash, zsh or fish; the one of $SHELL when left out.
    """
    from .app import application

    chosen = shell or os.path.basename(os.environ.get("SHELL", ""))
    if chosen not in _PLACES:
        raise UsageError(f"no completion for the shell {chosen!r}", hint="Name one of bash, zsh, fish.")
    written = []
    for name in ("undivided", "und"):
        path = Path.home() / _PLACES[chosen].format(name=name)
        script = application().generate_completion(prog_name=name, shell=chosen)  # type: ignore[arg-type]
        make_directory(path.parent)
        save(path, script.encode(), 0o644)
        written.append(str(path))
    emit(common.json, {"shell": chosen, "files": written}, [*written, _HINTS[chosen]])
    return 0
