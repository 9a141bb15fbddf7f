"""All drivers in one explicit list; nothing registers itself.

A module is named as text and imported when the first component of its kind is used: importing a database
client takes time that every other command would pay for.
"""

from __future__ import annotations

from importlib import import_module

from ..model.service import Component
from .base import Driver

DRIVERS = {
    "files": "undivided.drivers.files.driver:FilesDriver",
    "mariadb": "undivided.drivers.mariadb:MariaDBDriver",
    "postgresql": "undivided.drivers.postgresql:PostgreSQLDriver",
    "redis": "undivided.drivers.redis:RedisDriver",
    "sqlite": "undivided.drivers.sqlite:SQLiteDriver",
}


def driver_class(kind: str) -> type[Driver]:
    """The driver of a kind that config/component_options.py knows."""
    module, name = DRIVERS[kind].split(":")
    found: type[Driver] = getattr(import_module(module), name)
    return found


def driver_for(component: Component) -> Driver:
    return driver_class(component.kind)(component)
