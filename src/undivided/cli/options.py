"""The options that every command has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..operations.workspace import Workspace
from .ask import human


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    config: Annotated[Path | None, Parameter(env_var=(), metavar="DIR")] = None
    """Configuration directory; UNDIVIDED_CONFIG does the same."""
    json: bool = False
    """Answer in JSON, for programs."""
    log_level: Annotated[str | None, Parameter(env_var=(), metavar="LEVEL")] = None
    """Show log records from this level on: debug, info, warning, error. UNDIVIDED_LOG does the same."""

    def open(self) -> Workspace:
        return Workspace(self.config, human())


COMMON = Common()
