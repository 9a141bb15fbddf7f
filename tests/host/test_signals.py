import os
import signal
import threading

import pytest

from undivided.host.signals import signals_after


@pytest.fixture(params=[signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def number(request):
    """A signal whose handler raises, as in a run of the program."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(request.param, interrupt)
    yield request.param
    signal.signal(request.param, before)


def test_a_signal_in_the_block_is_handled_after_it(number):
    handler = signal.getsignal(number)
    done = []
    with pytest.raises(KeyboardInterrupt), signals_after():
        os.kill(os.getpid(), number)
        done.append(True)
    assert done == [True]
    assert signal.getsignal(number) is handler


def test_an_ignored_signal_stays_ignored(number):
    signal.signal(number, signal.SIG_IGN)
    with signals_after():
        assert signal.getsignal(number) is signal.SIG_IGN
        os.kill(os.getpid(), number)


def test_other_threads_may_use_the_block_too():
    done = []

    def work() -> None:
        with signals_after():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
