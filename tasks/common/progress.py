"""Progress on stderr, for a person at a terminal who has waited for two seconds."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic

DELAY = 2.0  # seconds until it is shown
REFRESH = 0.5  # seconds
CLEAR = "\r\x1b[K"  # to the start of the line, and erase it (ECMA-48, CR and EL)


@contextmanager
def progress(doing: str, total: int) -> Iterator[Callable[[], None]]:
    """A function to call as each of `total` machines is done with; the line goes with the block.

    `doing` may be empty: then nothing is shown.
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
            text = f"{doing}: {len(done)} of {total} machines, {elapsed} s"
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
