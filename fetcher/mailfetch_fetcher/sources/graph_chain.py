"""Pages that lead from one to the next, and never round in a circle (pure)."""

from mailfetch_fetcher.sources.graph_cursor import odd_link
from mailfetch_fetcher.sources.graph_settings import GraphSettings


class Chain:
    """The links of one walk. A circle is noticed after two or three rounds of it, however long the walk.

    Only one link is remembered, a later one each time that the walk has become twice as long (Brent's algorithm).
    """

    def __init__(self, start: str, settings: GraphSettings) -> None:
        """Begins a walk.

        Args:
            start: The first link.
            settings: For messages.
        """
        self._remembered = start
        self._settings = settings
        self._steps = 0
        self._until = 1

    def follow(self, link: str) -> str:
        """The link that comes next, which is to be followed.

        Raises:
            SourceError: it was followed before.
        """
        if link == self._remembered:
            raise odd_link(self._settings)
        self._steps += 1
        if self._steps == self._until:
            self._remembered, self._steps, self._until = link, 0, 2 * self._until
        return link
