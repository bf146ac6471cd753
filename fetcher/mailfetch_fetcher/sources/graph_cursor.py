"""The cursor of a Graph mailbox, and which links may be followed (pure).

A link is kept without its host, and followed only at the cloud's own: it is asked with our token.
"""

from urllib.parse import urlsplit

import msgspec

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources import graph_errors as errors
from mailfetch_fetcher.sources.graph_settings import ROOT, GraphSettings


class Cursor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far the changes of a folder were followed.

    Attributes:
        place: Path of the mailbox and id of the folder: a link is of use only there.
        link: Path and query of the page that comes next; empty: the beginning.
        again: The round from the beginning is not the first one: mails that were known may have left since.
    """

    place: str = ""
    link: str = ""
    again: bool = False

    def encode(self) -> str:
        """JSON."""
        return msgspec.json.encode(self).decode()


def decode(text: str, *, place: str) -> Cursor:
    """The cursor at this place; the beginning if it is of another place or cannot be read."""
    if not text:
        return Cursor(place=place)
    try:
        found = msgspec.json.decode(text, type=Cursor)
    except msgspec.DecodeError:
        found = Cursor()
    return found if found.place == place else Cursor(place=place, again=True)


def local(link: object, settings: GraphSettings) -> str:
    """Path and query of a link that Graph gave.

    Raises:
        SourceError: it leads elsewhere.
    """
    try:
        parts = urlsplit(link if isinstance(link, str) else "")
        place = (parts.scheme, parts.hostname, parts.port or 443)
    except ValueError:  # no address, or no port
        raise odd_link(settings) from None
    at_home = place == ("https", settings.host, 443) and parts.username is None and not parts.fragment
    if not at_home or not parts.path.startswith(f"{ROOT}/"):
        raise odd_link(settings)
    return f"{parts.path}?{parts.query}"


def odd_link(settings: GraphSettings) -> SourceError:
    """A link that is not followed."""
    return errors.odd(settings, "sends a link that leads elsewhere or round in a circle, which is not followed")
