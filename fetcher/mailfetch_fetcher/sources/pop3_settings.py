"""What a POP3 connection is made from: the part of a spec that concerns it, with every default filled in."""

from collections.abc import Callable
from dataclasses import dataclass, field

from mailfetch_fetcher.contract import secrets as names
from mailfetch_fetcher.contract.server import need_mail_server
from mailfetch_fetcher.contract.spec import Action, Encryption, Spec, default_port
from mailfetch_fetcher.contract.units import duration, size
from mailfetch_fetcher.sources.sasl import TokenLogin


@dataclass(frozen=True, kw_only=True)
class Pop3Settings:
    """Everything but the TLS context.

    Attributes:
        host: Name or address of the server.
        port: Port.
        encryption: TLS from the first byte, StartTLS (STLS, RFC 2595), or None.
        allow_insecure_login: A password may be sent without encryption.
        username: User name, any UTF-8.
        password: Reads the password, any UTF-8: each round logs in anew, with the password as it is then. May raise
            `SourceError`.
        password_place: Where it comes from, for messages.
        shared_mailbox: Address of the mailbox if it is not the user's own.
        token: How to log in with an access token instead of a password.
        timeout: Seconds that the server may be silent.
        action: What happens to a mail after the download.
        max_message_size: Bytes; a mail that is larger by the server's word is told (`Unreadable.too_large`), not read.
        part_size: Bytes; a larger mail is handed out in parts of this size.
    """

    host: str
    port: int
    username: str
    password: Callable[[], str] = field(default=str, repr=False)
    password_place: str = "the Secret"  # noqa: S105 - where, not what
    shared_mailbox: str = ""
    token: TokenLogin | None = None
    encryption: Encryption = "TLS"
    allow_insecure_login: bool = False
    timeout: float = 30.0
    action: Action = "None"
    max_message_size: int = 150 << 20
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
        """POP3 with TLS from the first byte (RFC 8314)."""
        return 995

    @property
    def start_tls(self) -> str:
        """The command that begins TLS."""
        return "STLS"


def from_spec(spec: Spec, *, password: Callable[[], str] = str, token: TokenLogin | None = None) -> Pop3Settings:
    """The settings of a connection with protocol POP3.

    Args:
        spec: Spec of the connection.
        password: Reads the password, for auth.type Password; called at each login.
        token: How to log in with a token, for the OAuth2 types.

    Raises:
        ValueError: a duration or size cannot be read, it is not known which server, or POP3 cannot do what is asked.
    """
    server = need_mail_server(spec)
    if spec.after_download.action == "Move":
        raise ValueError("POP3 cannot move mails; set spec.afterDownload.action Delete, MarkSeen or None")
    return Pop3Settings(
        host=server.host,
        port=server.port or default_port("POP3", server.encryption),
        encryption=server.encryption,
        allow_insecure_login=server.allow_insecure_login,
        username=spec.auth.username,
        password=password,
        shared_mailbox=spec.shared_mailbox,
        token=token,
        password_place="key '{1}' of the Secret '{0}'".format(*(names.password(spec) or ("", ""))),
        timeout=duration(spec.schedule.timeout, default=30.0),
        action=spec.after_download.action,
        max_message_size=size(spec.queue.max_message_size),
    )
