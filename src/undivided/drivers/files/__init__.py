"""Trees of files, held by stopping their writers or by a snapshot. The door of this room is FilesDriver."""

from .driver import FilesDriver

__all__ = ["FilesDriver"]
