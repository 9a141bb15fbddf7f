"""Trees of files, captured by a snapshot or by freezing their writers. FilesDriver is the public name."""

from .driver import FilesDriver

__all__ = ["FilesDriver"]
