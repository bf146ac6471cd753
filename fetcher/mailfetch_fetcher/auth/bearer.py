"""What a source needs to prove who it is where there are no passwords: an access token (RFC 6750)."""

from typing import Protocol


class Bearer(Protocol):
    """Gives access tokens; may be called from any thread, and is single-flight."""

    def token(self, *, refused: str = "", claims: str = "") -> str:
        """A token that is believed to be good; from memory until shortly before it expires.

        Args:
            refused: A token that the server has just refused: if it is the one in memory, another one is fetched.
            claims: Claims challenge of the server (JSON), which a new token must meet.

        Raises:
            SourceError: AuthorizationRequired if a person has to do something, SecretNotFound or InvalidConfiguration
                if the Secrets are not right; Throttled or ConnectionFailed if the provider cannot be asked now.
        """
        ...


class Rotated(Protocol):
    """Where a refresh token that the provider replaced is kept, encrypted, between two lives of a fetcher."""

    def load(self) -> bytes:
        """What was saved last; empty: nothing."""
        ...

    def save(self, sealed: bytes) -> None:
        """Replaces it. Does nothing if the mailbox is not ours any more."""
        ...
