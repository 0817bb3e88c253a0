"""What a watch keeps in mind: how often routes were lost in a row, and what it has said."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable

from tasks.common.values import Network

PUT_BACK = 2  # times in a row that a missing route is put back; then it is left alone

Say = Callable[[str, str], None]  # the name of a machine or network, and a line about it


class Losses:
    """Counts how often the missing routes of one machine or table were put back in a row."""

    def __init__(self) -> None:
        self._put_back: Counter[Network] = Counter()

    def seen(self, lost: Collection[Network]) -> None:
        """Record which routes are missing now. The count of every other route restarts at 0."""
        for prefix in self._put_back.keys() - lost:
            del self._put_back[prefix]

    def put_back(self, prefixes: Iterable[Network]) -> None:
        """Count these routes as put back once more."""
        self._put_back.update(prefixes)

    def hopeless(self, prefix: Network) -> bool:
        """Whether a route was put back so often that it is left alone now."""
        return self._put_back[prefix] >= PUT_BACK


class Teller:
    """Says what stays wrong with a machine or network once, and when all is well again."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self._told: dict[str, frozenset[str]] = {}

    def tell(self, name: str, unrepaired: Iterable[str]) -> None:
        """Say what is new since the last answer, or that all is well again."""
        now = frozenset(unrepaired)
        before = self._told.get(name, frozenset())
        for line in sorted(now - before):
            self.say(name, line)
        if before and not now:
            self.say(name, "all is well again")
        self._told[name] = now
