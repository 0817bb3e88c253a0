"""A progress line on stderr. It appears after two seconds, and only on a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic

DELAY = 2.0  # seconds before the line appears
REFRESH = 0.5  # seconds between updates
CLEAR = "\r\x1b[K"  # go to the start of the line and erase it (ECMA-48: CR, EL)


@contextmanager
def progress(doing: str, total: int, things: str = "machines") -> Iterator[Callable[[], None]]:
    """Show how many of `total` things are done. The line is erased when the block ends.

    The caller calls the given function once for each thing that is done. An empty `doing` shows
    nothing.
    """
    if not (doing and sys.stderr and sys.stderr.isatty()):
        yield lambda: None
        return
    done: list[None] = []
    over = Event()
    started = monotonic()

    def show() -> None:
        pause = DELAY
        while not over.wait(pause):
            pause = REFRESH
            elapsed = round(monotonic() - started)
            text = f"{doing}: {len(done)} of {total} {things}, {elapsed} s"
            print(CLEAR, text, sep="", end="", file=sys.stderr, flush=True)
        if pause == REFRESH:
            print(CLEAR, end="", file=sys.stderr, flush=True)

    ticker = Thread(target=show, daemon=True)
    ticker.start()
    try:
        yield lambda: done.append(None)
    finally:
        over.set()
        ticker.join()
