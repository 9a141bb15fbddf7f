"""`undivided protect`: its help. The plain form of it is in fast_path.py."""

from __future__ import annotations

from .fast_path import protect_service
from .options import COMMON, Common


def protect(service: str, /, *, common: Common = COMMON) -> int:
    """Take a recovery point of a service.

    One instant across all components, or no point at all: exit code 3 means
    that a component could not be captured, and the message names it.

    Example: undivided protect portal --json

    Parameters
    ----------
    service:
        Name of the service.
    """
    return protect_service(service, common.config, json=common.json)
