"""What an IMAP connection is made from: the part of a spec that concerns it, with every default filled in."""

from dataclasses import dataclass, field

from mailfetch_fetcher.contract import secrets as names
from mailfetch_fetcher.contract.spec import Action, Encryption, Spec, default_port
from mailfetch_fetcher.contract.units import duration, size


@dataclass(frozen=True, kw_only=True)
class ImapSettings:
    """Everything but the TLS context.

    Attributes:
        host: Name or address of the server.
        port: Port.
        encryption: TLS from the first byte, StartTLS, or None.
        allow_insecure_login: A password may be sent without encryption.
        username: User name, any UTF-8.
        password: Password, any UTF-8; never shown.
        password_place: Where it came from, for messages.
        folder: Folder to read, any UTF-8.
        timeout: Seconds that the server may be silent.
        push: Use IDLE where it is offered.
        action: What happens to a mail after the download; decides how the folder is opened.
        target: Folder that Move moves to.
        max_message_size: Bytes; a larger mail is told (`Unreadable.too_large`), not read.
        careful: The connection broke before: sizes are not asked for in common, as one mail whose size the server
            cannot tell would break it again.
        part_size: Bytes; a larger mail is handed out in parts of this size.
    """

    host: str
    port: int
    username: str
    password: str = field(repr=False)
    password_place: str = "the Secret"  # noqa: S105 - where, not what
    encryption: Encryption = "TLS"
    allow_insecure_login: bool = False
    folder: str = "INBOX"
    timeout: float = 30.0
    push: bool = True
    action: Action = "None"
    target: str = ""
    max_message_size: int = 150 << 20
    careful: bool = False
    part_size: int = 4 << 20

    @property
    def address(self) -> str:
        """`host:port`, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def tls_port(self) -> int:
        """The port for TLS from the first byte, for messages."""
        return default_port("IMAP", "TLS")

    @property
    def start_tls(self) -> str:
        """The command for StartTLS, for messages."""
        return "STARTTLS"


def from_spec(spec: Spec, *, password: str) -> ImapSettings:
    """The settings of a connection with protocol IMAP and a password.

    Raises:
        ValueError: a duration or size cannot be read, or `spec.server` is missing.
    """
    if spec.server is None:
        raise ValueError("spec.server is missing")
    return ImapSettings(
        host=spec.server.host,
        port=spec.server.port or default_port("IMAP", spec.server.encryption),
        encryption=spec.server.encryption,
        allow_insecure_login=spec.server.allow_insecure_login,
        username=spec.auth.username,
        password=password,
        password_place="key '{1}' of the Secret '{0}'".format(*(names.password(spec) or ("", ""))),
        folder=spec.folder or "INBOX",
        timeout=duration(spec.schedule.timeout, default=30.0),
        push=spec.schedule.push,
        action=spec.after_download.action,
        target=spec.after_download.folder,
        max_message_size=size(spec.queue.max_message_size),
    )
