"""The refresh token that replaced the one in the Secret, sealed (`auth/rotation.py`), kept between two lives."""

from collections.abc import Callable

from mailfetch_fetcher.contract.keys import ConnectionKeys
from mailfetch_fetcher.errors import StoreError
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.read import read_token
from mailfetch_fetcher.store.target import Target


class MailboxToken:
    """For a session (see `auth.bearer.Rotated`)."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    def load(self) -> bytes:
        """What was saved last, by whatever life."""
        return self._mailbox.load_token()

    def save(self, sealed: bytes) -> None:
        """Replaces it."""
        self._mailbox.keep_token(sealed)


class ReadToken:
    """For a probe, which changes nothing.

    What it is given in place of a refresh token is lost, which does no harm: the old one stays valid.
    """

    def __init__(self, target: Callable[[], Target], keys: ConnectionKeys) -> None:
        """Reads nothing yet.

        Args:
            target: Tells where Redis is; may raise `StoreError`.
            keys: The connection.
        """
        self._target = target
        self._keys = keys

    def load(self) -> bytes:
        """What was saved last; nothing if Redis cannot be asked, which the probe tells at its own step."""
        try:
            return read_token(self._target(), self._keys)
        except StoreError:
            return b""

    def save(self, sealed: bytes) -> None:
        """Nothing."""
