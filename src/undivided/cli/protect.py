"""`undivided protect`, as the command line shows it. What it does is in operations/protect.py."""

from __future__ import annotations

from ..operations.protect import protect_service
from .options import COMMON, Common


def protect(service: str, /, *, common: Common = COMMON) -> int:
    """Take a recovery point of a service.

    One instant across all components, or no point at all: exit code 3 says
    that a component could not be captured, and the message names it.

    Example: undivided protect portal --json

    Parameters
    ----------
    service:
        Its name.
    """
    return protect_service(service, common.config, json=common.json)
