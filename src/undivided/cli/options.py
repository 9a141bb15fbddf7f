"""The options that every command has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..operations.workspace import Workspace


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    config: Annotated[Path | None, Parameter(env_var=())] = None
    """Configuration directory; UNDIVIDED_CONFIG says the same."""
    json: Annotated[bool, Parameter(negative=())] = False
    """Answer in JSON, for programs."""

    def open(self) -> Workspace:
        return Workspace(self.config)


COMMON = Common()
