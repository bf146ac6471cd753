"""A MailConnection as the API server returns it, read defensively: the status may be absent or half filled."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

GROUP = "mailfetch.dev"
VERSION = "mailfetch.dev/v1alpha1"
ENABLE = "mailfetch.dev/enable"
ACKNOWLEDGE = "mailfetch.dev/acknowledge"
TEST = "mailfetch.dev/test"
FETCH = "mailfetch.dev/fetch"
RESOURCE = "mailconnection.mailfetch.dev"
DEFAULT_MAX_MESSAGES = 100
_DEFAULT_PORTS = {
    "MicrosoftGraph": {"TLS": 443},
    "IMAP": {"TLS": 993},
    "POP3": {"TLS": 995, "StartTLS": 110, "None": 110},
}


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One condition; an absent one has empty fields."""

    status: str = ""
    reason: str = ""
    message: str = ""
    since: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What the probe counted."""

    new: int
    total: int
    unseen: int
    mailbox: str
    accuracy: str
    confidence: str
    method: str
    notes: tuple[str, ...]
    checked: datetime | None


@dataclass(frozen=True)
class Connection:
    """One MailConnection."""

    raw: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.dig("metadata", "name") or "")

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return str(self.dig("metadata", "namespace") or "")

    @property
    def created(self) -> datetime | None:
        """When it was made."""
        return moment(self.dig("metadata", "creationTimestamp"))

    @property
    def enabled(self) -> bool:
        """Whether it is annotated to download."""
        return self.annotation(ENABLE) == "true"

    @property
    def suspended(self) -> bool:
        """Whether `spec.suspend` pauses it."""
        return bool(self.dig("spec", "suspend"))

    @property
    def username(self) -> str:
        """Who logs in."""
        return self.text("spec", "auth", "username")

    @property
    def mailbox(self) -> str:
        """The shared mailbox if there is one, else the user."""
        return self.text("spec", "sharedMailbox") or self.username

    @property
    def host(self) -> str:
        """The server in the spec, else the provider's own."""
        return self.text("spec", "server", "host") or self._provider

    @property
    def _provider(self) -> str:
        from mailfetch_fetcher.contract.providers import CLOUDS, mail_host  # here: `--help` needs nothing of it

        cloud, protocol = self.text("spec", "auth", "oauth2", "cloud") or "Global", self.text("spec", "protocol")
        if cloud not in CLOUDS:
            return ""
        if protocol == "MicrosoftGraph":
            return CLOUDS[cloud].graph
        return mail_host(self.text("spec", "auth", "type"), protocol, cloud)

    @property
    def port(self) -> int:
        """The port that is used, or 0 if no server is known."""
        if not self.host:
            return 0
        own = _DEFAULT_PORTS.get(self.text("spec", "protocol"), {}).get(self.encryption, 143)
        return self.number("spec", "server", "port") or own

    @property
    def encryption(self) -> str:
        """TLS, StartTLS or None."""
        return self.text("spec", "server", "encryption") or "TLS"

    @property
    def ready(self) -> Condition:
        """Ready: its reason is the state."""
        return self.condition("Ready")

    @property
    def max_messages(self) -> int:
        """A backlog up to this many needs no acknowledgement."""
        found = self.dig("spec", "approval", "maxMessages")
        return found if isinstance(found, int) else DEFAULT_MAX_MESSAGES

    @property
    def epoch(self) -> int:
        """The gate's epoch."""
        return self.number("status", "approval", "epoch") or 1

    @property
    def estimate(self) -> Estimate | None:
        """The last estimate, or None."""
        if not isinstance(self.dig("status", "estimate", "newMessages"), int):
            return None
        notes = self.dig("status", "estimate", "notes")
        return Estimate(
            new=self.number("status", "estimate", "newMessages"),
            total=self.number("status", "estimate", "totalMessages"),
            unseen=self.number("status", "estimate", "unseenMessages"),
            mailbox=self.text("status", "estimate", "mailbox"),
            accuracy=self.text("status", "estimate", "accuracy"),
            confidence=self.text("status", "estimate", "confidence"),
            method=self.text("status", "estimate", "method"),
            notes=tuple(plain(n) for n in notes) if isinstance(notes, list) else (),
            checked=moment(self.dig("status", "estimate", "checkedAt")),
        )

    def annotation(self, key: str) -> str:
        """The value of an annotation, or empty."""
        return self.text("metadata", "annotations", key)

    def condition(self, kind: str) -> Condition:
        """The condition of that type."""
        return dict(self.conditions()).get(kind, Condition())

    def conditions(self) -> Iterator[tuple[str, Condition]]:
        """All conditions with their types."""
        found = self.dig("status", "conditions")
        for c in found if isinstance(found, list) else []:
            yield (
                plain(c.get("type", "")),
                Condition(
                    status=plain(c.get("status", "")),
                    reason=plain(c.get("reason", "")),
                    message=plain(c.get("message", "")),
                    since=moment(c.get("lastTransitionTime")),
                ),
            )

    def dig(self, *path: str) -> Any:
        """The value at a path, or None."""
        value: Any = self.raw
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def text(self, *path: str) -> str:
        """The text at a path, fit for a terminal, or empty."""
        value = self.dig(*path)
        return "" if value is None else plain(value)

    def number(self, *path: str) -> int:
        """The number at a path, or 0."""
        value = self.dig(*path)
        return value if isinstance(value, int) else 0


def matches(connection: Connection, term: str) -> bool:
    """Whether the term stands in name, description, host, user or shared mailbox, whatever the case."""
    wanted = term.casefold()
    fields = (
        connection.name,
        connection.text("spec", "description"),
        connection.host,
        connection.username,
        connection.mailbox,
    )
    return any(wanted in f.casefold() for f in fields)


def moment(value: object) -> datetime | None:
    """A time of the API, or None if there is none that can be read."""
    try:
        return datetime.fromisoformat(str(value).replace("Z", "+00:00")) if value else None
    except ValueError:
        return None


def said(value: object) -> str:
    """What a server said that was shown a token: it may repeat it."""
    from mailfetch_fetcher.contract.texts import without_credentials

    return without_credentials(plain(value))


def plain(value: object) -> str:
    """Text without control characters, so that nothing in a resource can drive the reader's terminal."""
    return "".join(c if c.isprintable() else " " for c in str(value))
