"""The options that every command has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..operations.workspace import Context


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    config: Annotated[Path | None, Parameter(env_var=())] = None
    """Configuration directory; UNDIVIDED_CONFIG says the same."""
    json: Annotated[bool, Parameter(negative=())] = False
    """Answer in JSON, for programs."""

    def open(self) -> Context:
        return Context(self.config)


COMMON = Common()
