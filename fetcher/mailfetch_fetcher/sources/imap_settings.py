"""What an IMAP connection is made from: the part of a spec that concerns it, with every default filled in."""

from dataclasses import dataclass, field

from mailfetch_fetcher.contract import secrets as names
from mailfetch_fetcher.contract.server import need_mail_server
from mailfetch_fetcher.contract.spec import Action, Encryption, Spec, default_port
from mailfetch_fetcher.contract.units import duration, size
from mailfetch_fetcher.sources.sasl import TokenLogin


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
        shared_mailbox: Address of the mailbox if it is not the user's own.
        token: How to log in with an access token instead of a password.
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
    password: str = field(default="", repr=False)
    password_place: str = "the Secret"  # noqa: S105 - where, not what
    shared_mailbox: str = ""
    token: TokenLogin | None = None
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
    def mailbox(self) -> str:
        """Whose mail is read."""
        return self.shared_mailbox or self.username

    @property
    def login_name(self) -> str:
        """Who reads what, for messages."""
        return f"{self.username} for {self.shared_mailbox}" if self.shared_mailbox else self.username

    @property
    def tls_port(self) -> int:
        """The port for TLS from the first byte, for messages."""
        return default_port("IMAP", "TLS")

    @property
    def start_tls(self) -> str:
        """The command for StartTLS, for messages."""
        return "STARTTLS"


def from_spec(spec: Spec, *, password: str = "", token: TokenLogin | None = None) -> ImapSettings:
    """The settings of a connection with protocol IMAP.

    Args:
        spec: Spec of the connection.
        password: The password, for auth.type Password.
        token: How to log in with a token, for the OAuth2 types.

    Raises:
        ValueError: a duration or size cannot be read, or it is not known which server.
    """
    server = need_mail_server(spec)
    return ImapSettings(
        host=server.host,
        port=server.port or default_port("IMAP", server.encryption),
        encryption=server.encryption,
        allow_insecure_login=server.allow_insecure_login,
        username=spec.auth.username,
        password=password,
        shared_mailbox=spec.shared_mailbox,
        token=token,
        password_place="key '{1}' of the Secret '{0}'".format(*(names.password(spec) or ("", ""))),
        folder=spec.folder or "INBOX",
        timeout=duration(spec.schedule.timeout, default=30.0),
        push=spec.schedule.push,
        action=spec.after_download.action,
        target=spec.after_download.folder,
        max_message_size=size(spec.queue.max_message_size),
    )
