"""One run of the program: arguments in, exit code out, and every failure reported once.

The exit code comes from the error's class (model/errors.py). With --json a failure is also a JSON object on
standard output, so that scripts never have to read prose. A traceback is for developers, never for a user's
mistake.
"""

from __future__ import annotations

import errno
import gc
import io
import os
import signal
import sys
from collections.abc import Sequence

from ..host.signals import interrupt
from ..model.errors import UndividedError, UsageError, reason

INTERRUPTED = 130
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_DIRECTORY = UsageError(
    "the working directory does not exist any more, and a relative path needs it",
    hint="Change to a directory that exists, or give absolute paths.",
)
_RARELY = 100_000  # a run is short, and looking for cycles every 700 objects takes a tenth of it


def run(arguments: Sequence[str]) -> int:
    """Runs one command. Returns its exit code; raises nothing."""
    json = "--json" in arguments
    gc.set_threshold(_RARELY)
    try:
        _any_encoding()
        _interruptible()
        code = _dispatch(arguments)
        sys.stdout.flush()
        return code
    except UndividedError as error:
        return _failed(error, json)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away; a second failure while Python flushes at exit would be noise.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno in _FULL:
            return _no_room(error)
        return _failed(_NO_DIRECTORY, json) if _directory_is_gone(error) else _bug(error, json)
    except Exception as error:  # noqa: BLE001 - the last line of defence: whatever got here is a bug of ours
        return _bug(error, json)


def show_error(error: UndividedError) -> None:
    """A failure for people, on standard error."""
    sys.stderr.write(f"undivided: {error}\n")


def _any_encoding() -> None:
    """Characters that the terminal's encoding lacks are escaped, so that they never make a message fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _interruptible() -> None:
    """A terminated run ends like an interrupted one: components that are held get released on the way out."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored: a background job
        signal.signal(signal.SIGINT, interrupt)


def _dispatch(arguments: Sequence[str]) -> int:
    from . import fast_path, logs

    logs.configure(arguments)
    protection = fast_path.read(arguments)
    if protection:
        return fast_path.protect_service(protection.service, protection.config, json=protection.json)
    from .app import dispatch

    return dispatch(arguments)


def _failed(error: UndividedError, json: bool) -> int:
    if json:
        from ..operations.records import error_record
        from .output import write_error

        write_error(error_record(error))
    show_error(error)
    return error.exit_code


def _no_room(error: OSError) -> int:
    """A full disk under our own files is reported by the code that writes them. So this one is under our
    output, where JSON could not be written either."""
    sys.stderr.write(f"undivided: write the output: {reason(error)}\n")
    sys.stderr.write("HINT: Free some space there, or send the output elsewhere.\n")
    return 1


def _directory_is_gone(error: OSError) -> bool:
    """Whether an error is due to a working directory that was removed: relative paths have no meaning then,
    and Python's error names no file."""
    if not isinstance(error, FileNotFoundError) or error.filename is not None:
        return False
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _bug(error: Exception, json: bool) -> int:
    text = f"{type(error).__name__}: {error}"
    if json:
        from ..operations.records import error_record
        from .output import write_error

        write_error(error_record(UndividedError(text, hint="This is a bug: please report it.")))
    sys.stderr.write(f"undivided: this is a bug: {text}\n")
    if os.environ.get("UNDIVIDED_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    else:
        sys.stderr.write("HINT: Run it again with UNDIVIDED_DEBUG=1 and report the output.\n")
    return 1
