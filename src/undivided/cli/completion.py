"""`undivided completion …`: the shell completes words."""

from __future__ import annotations

from typing import Literal

from ..operations.completion import install_completion
from .options import COMMON, Common
from .output import emit

Shell = Literal["bash", "zsh", "fish"]


def install(shell: Shell | None = None, /, *, common: Common = COMMON) -> int:
    """Install completion for a shell.

    For `undivided` and `und`, and for the user who runs this.

    Example: undivided completion install bash

    Parameters
    ----------
    shell:
        bash, zsh or fish; the one of $SHELL when left out.
    """
    done = install_completion(shell, _script)
    emit(common.json, done.as_record(), [*map(str, done.files), done.hint])
    return 0


def _script(shell: str, program: str) -> str:
    from .app import application

    return application().generate_completion(prog_name=program, shell=shell)  # type: ignore[arg-type]
