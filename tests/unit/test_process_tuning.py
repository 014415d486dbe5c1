"""The process: what is set for all threads, and that a platform without it does no harm."""

import ctypes
import sys

import pytest

from shared import concurrency


def test_threads_hand_over_sooner() -> None:
    """Importing the app is enough: nothing else sets it."""
    import function_app  # noqa: F401, PLC0415

    assert sys.getswitchinterval() == pytest.approx(concurrency.SWITCH_S)


def test_the_heap_of_the_c_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both limits by the numbers that glibc gave them."""
    told: list[tuple[int, int]] = []

    class Library:
        def __init__(self, name: None) -> None:
            self.mallopt = lambda *arguments: told.append(arguments)

    monkeypatch.setattr(ctypes, "CDLL", Library)
    concurrency.tune()
    assert told == [(-8, concurrency.ARENAS), (-3, concurrency.OWN_BLOCK)]


@pytest.mark.parametrize("fault", [AttributeError("no mallopt"), TypeError("not on Windows"), OSError("no library")])
def test_another_c_library_keeps_its_ways(monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    """The app starts all the same."""

    def refuse(name: None) -> None:
        raise fault

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    sys.setswitchinterval(0.001)
    concurrency.tune()
    assert sys.getswitchinterval() == pytest.approx(concurrency.SWITCH_S)
