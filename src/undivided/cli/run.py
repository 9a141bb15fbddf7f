"""One run of the program: arguments in, exit code out, and every failure told once.

The exit code comes from the error's class (model/errors.py). With --json a failure is a JSON object on
standard output as well, so that scripts never have to read prose. A traceback is for us, never for a user's
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

from ..model.errors import UndividedError

INTERRUPTED = 130
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
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
        return _told(error, json)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away; a second failure while Python flushes at exit would be noise.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _no_room(error) if error.errno in _FULL else _bug(error, json)
    except Exception as error:  # noqa: BLE001 - the last line of defence: whatever got here is a bug of ours
        return _bug(error, json)


def _any_encoding() -> None:
    """Text that the terminal's encoding lacks is escaped: a message is never lost to its own spelling."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _interruptible() -> None:
    """A terminated run ends like an interrupted one: what is held gets released on the way out."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def _dispatch(arguments: Sequence[str]) -> int:
    from . import fast_path as quick

    protection = quick.read(arguments)
    if protection:
        from ..operations.protect import protect_service

        return protect_service(protection.service, protection.config, json=protection.json)
    from .app import dispatch

    return dispatch(arguments)


def _told(error: UndividedError, json: bool) -> int:
    if json:
        from .output import error_record, write_json

        write_json(error_record(error))
    sys.stderr.write(f"undivided: {error}\n")
    return error.exit_code


def _no_room(error: OSError) -> int:
    """Where we keep things, a full disk is met and told by who writes there. So it is our output's, and JSON
    would not get through either."""
    sys.stderr.write(f"undivided: the output cannot be written: {(error.strerror or str(error)).lower()}\n")
    sys.stderr.write("HINT: Free some space where it goes, or send it elsewhere.\n")
    return 1


def _bug(error: Exception, json: bool) -> int:
    what = f"{type(error).__name__}: {error}"
    if json:
        from .output import error_record, write_json

        write_json(error_record(UndividedError(what, hint="This is a bug: please report it.")))
    sys.stderr.write(f"undivided: this is a bug: {what}\n")
    if os.environ.get("UNDIVIDED_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    else:
        sys.stderr.write("HINT: Run it again with UNDIVIDED_DEBUG=1 and report what it prints.\n")
    return 1
