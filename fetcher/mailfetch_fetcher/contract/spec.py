"""The `spec` of a MailConnection as the operator and the fetcher read it.

The CRD (`crds/`) is the one source of the schema and validates; these types only mirror its
fields and defaults, so that a manifest that never met an API server (standalone mode) reads the same.
Unknown fields are ignored, so an older fetcher understands a newer operator.
"""

from typing import Literal

import msgspec

from mailfetch_fetcher.contract.struct import Struct

Protocol = Literal["IMAP", "POP3", "MicrosoftGraph"]
Encryption = Literal["TLS", "StartTLS", "None"]
AuthType = Literal["Password", "GoogleOAuth2", "MicrosoftOAuth2"]
Action = Literal["None", "MarkSeen", "Delete", "Move"]


class SecretKey(Struct, frozen=True, kw_only=True):
    """A key of a Secret in the connection's namespace; an empty key means the field's own default."""

    name: str
    key: str = ""


class Server(Struct, frozen=True, kw_only=True):
    """Where the mailbox is. Port 0 means the protocol's own port."""

    host: str
    port: int = 0
    encryption: Encryption = "TLS"
    allow_insecure_login: bool = False


class Tls(Struct, frozen=True, kw_only=True):
    """A private certificate authority (key default `ca.crt`)."""

    ca_secret_ref: SecretKey | None = None


class OAuth2(Struct, frozen=True, kw_only=True):
    """The OAuth2 client and token."""

    client_secret_ref: SecretKey
    flow: Literal["Delegated", "Application"] = "Delegated"
    token_secret_ref: SecretKey | None = None
    cloud: Literal["Global", "USGovernment", "USGovernmentDoD", "China"] = "Global"


class Auth(Struct, frozen=True, kw_only=True):
    """How to log in."""

    type: AuthType
    username: str
    password_secret_ref: SecretKey | None = None
    oauth2: OAuth2 | None = None


class Schedule(Struct, frozen=True, kw_only=True):
    """Durations are manifest texts; see `units.duration`."""

    interval: str = "1m"
    timeout: str = "30s"
    push: bool = True


class Backlog(Struct, frozen=True, kw_only=True):
    """Where the first round starts; `since` is a date (YYYY-MM-DD)."""

    start_from: Literal["Beginning", "Now", "Since"] = "Beginning"
    since: str = ""


class AfterDownload(Struct, frozen=True, kw_only=True):
    """What happens to a mail in the mailbox once it is durable."""

    action: Action = "MarkSeen"
    when: Literal["Persisted", "Acknowledged"] = "Persisted"
    folder: str = ""
    permanent: bool = False
    consumer_group: str = ""
    delay: str = "0s"


class Approval(Struct, frozen=True, kw_only=True):
    """A backlog up to `max_messages` needs no acknowledgement."""

    max_messages: int = 100


class Certificate(Struct, frozen=True, kw_only=True):
    """An S/MIME certificate Secret."""

    secret_name: str
    key: str = ""
    password_key: str = ""


class Queue(Struct, frozen=True, kw_only=True):
    """Where the mails go; an empty stream means the connection's name."""

    stream: str = ""
    consumer_groups: tuple[str, ...] = ()
    max_length: int = 100_000
    max_message_size: int | str = "150Mi"


class Retention(Struct, frozen=True, kw_only=True):
    """How long acknowledged mails and log lines are kept; see `units.period`."""

    queue: str = "7d"
    log: str = "30d"


class Resources(Struct, frozen=True, kw_only=True):
    """Container resources of a dedicated fetcher, as in a Pod."""

    requests: dict[str, int | str] = msgspec.field(default_factory=dict)
    limits: dict[str, int | str] = msgspec.field(default_factory=dict)


class Placement(Struct, frozen=True, kw_only=True):
    """Which fetcher runs the connection."""

    mode: Literal["Shared", "Dedicated"] = "Shared"
    pool: str = "default"
    resources: Resources | None = None


class Spec(Struct, frozen=True, kw_only=True):
    """The whole `spec`. An empty folder means INBOX."""

    protocol: Protocol
    auth: Auth
    description: str = ""
    server: Server | None = None
    tls: Tls | None = None
    shared_mailbox: str = ""
    folder: str = ""
    schedule: Schedule = Schedule()
    backlog: Backlog = Backlog()
    after_download: AfterDownload = AfterDownload()
    approval: Approval = Approval()
    certificates: tuple[Certificate, ...] = ()
    queue: Queue = Queue()
    retention: Retention = Retention()
    placement: Placement = Placement()
    suspend: bool = False
    deletion_policy: Literal["Retain", "Purge"] = "Retain"


def parse_spec(raw: object) -> Spec:
    """The typed spec of a decoded manifest's `spec`.

    Raises:
        ValueError: a field is missing or of the wrong type; the text names its path.
    """
    try:
        return msgspec.convert(raw, type=Spec, strict=True)
    except msgspec.ValidationError as e:
        raise ValueError(str(e).replace("$.", "spec.").replace("`", "'")) from e


def default_port(protocol: Protocol, encryption: Encryption) -> int:
    """The protocol's own port (RFC 8314 section 7.3: 993, 995; RFC 9051 and 1939: 143, 110)."""
    if protocol == "IMAP":
        return 993 if encryption == "TLS" else 143
    return 995 if encryption == "TLS" else 110


def unsupported(spec: Spec) -> str:
    """Names what this version cannot run, or is empty. Such a connection is never touched."""
    wanted = {
        "certificates": bool(spec.certificates),
    }
    return ", ".join(name for name, used in wanted.items() if used)
