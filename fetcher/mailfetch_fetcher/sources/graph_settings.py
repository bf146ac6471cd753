"""What a Microsoft Graph connection is made from: the part of a spec that concerns it, with every default filled in."""

from dataclasses import dataclass
from urllib.parse import quote

from mailfetch_fetcher.contract.providers import CLOUDS
from mailfetch_fetcher.contract.spec import Action, Encryption, Spec
from mailfetch_fetcher.contract.units import duration, size

ROOT = "/v1.0"


@dataclass(frozen=True, kw_only=True)
class GraphSettings:
    """Everything but the token.

    Attributes:
        host: Host of Microsoft Graph in this cloud.
        mailbox: Whose mailbox it is, for messages.
        shared: It is a shared one, not that of the account that authorizes.
        authorize: Command with which a person authorizes; empty with the flow Application.
        base: Path of the mailbox, from `ROOT` on, without a slash at its end.
        ca: PEM certificates to trust instead of the system's, or None.
        folder: Folder to read: INBOX, the name that Graph gives to a special folder, or display names with slashes.
        timeout: Seconds that the server may be silent.
        action: What happens to a mail after the download.
        target: Folder that Move moves to.
        permanent: Delete leaves nothing in Deleted Items.
        max_message_size: Bytes; a larger mail is told (`Unreadable.too_large`).
        part_size: Bytes; a larger mail is handed out in parts of this size.
        page: Mails of one page of changes; Graph may give fewer.
    """

    host: str
    mailbox: str
    base: str
    shared: bool = False
    authorize: str = ""
    ca: bytes | None = None
    folder: str = "INBOX"
    timeout: float = 30.0
    action: Action = "None"
    target: str = ""
    permanent: bool = False
    max_message_size: int = 150 << 20
    part_size: int = 4 << 20
    page: int = 100

    @property
    def address(self) -> str:
        """For messages."""
        return self.host

    @property
    def port(self) -> int:
        """HTTPS."""
        return 443

    @property
    def encryption(self) -> Encryption:
        """Always."""
        return "TLS"

    @property
    def tls_port(self) -> int:
        """HTTPS."""
        return 443

    @property
    def start_tls(self) -> str:
        """There is none."""
        return ""

    def url(self, path: str) -> str:
        """The address of a path that begins with `ROOT`."""
        return f"https://{self.host}{path}"


def from_spec(spec: Spec, *, authorize: str, ca: bytes | None) -> GraphSettings:
    """The settings of a connection with protocol MicrosoftGraph.

    Args:
        spec: Spec of the connection.
        authorize: Command with which a person authorizes it.
        ca: PEM certificates to trust instead of the system's, or None.

    Raises:
        ValueError: a duration or size cannot be read, or `spec.auth.oauth2` is missing.
    """
    if spec.auth.oauth2 is None:
        raise ValueError("spec.auth.oauth2 is missing: Microsoft Graph knows no passwords")
    delegated = spec.auth.oauth2.flow == "Delegated"
    mailbox = spec.shared_mailbox or spec.auth.username
    return GraphSettings(
        host=CLOUDS[spec.auth.oauth2.cloud].graph,
        mailbox=mailbox,
        base=f"{ROOT}/users/{quote(mailbox, safe='@')}",  # never /me: that is of whoever authorized
        shared=bool(spec.shared_mailbox),
        authorize=authorize if delegated else "",
        ca=ca,
        folder=spec.folder or "INBOX",
        timeout=duration(spec.schedule.timeout, default=30.0),
        action=spec.after_download.action,
        target=spec.after_download.folder,
        permanent=spec.after_download.permanent,
        max_message_size=size(spec.queue.max_message_size),
    )
