"""What a MailConnection asks of a sign-in: client, scopes, mailbox, Secret. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from kubectl_mailfetch.authorize.place import Place
from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.model import Connection
from mailfetch_fetcher.contract.providers import CLOUDS, DEFAULT_TENANT, Cloud, mail_host, scopes

Provider = Literal["Google", "Microsoft"]
_PROVIDERS: Mapping[str, Provider] = {"GoogleOAuth2": "Google", "MicrosoftOAuth2": "Microsoft"}
_PORTS = {("IMAP", "TLS"): 993, ("IMAP", "StartTLS"): 143, ("POP3", "TLS"): 995, ("POP3", "StartTLS"): 110}


@dataclass(frozen=True, kw_only=True)
class Client:
    """The OAuth2 client, as its Secret has it; absent keys are empty."""

    id: str
    secret: str = field(default="", repr=False)
    tenant: str = ""
    certificate: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)
    federated: str = field(default="", repr=False)

    @property
    def public(self) -> bool:
        """It has nothing to prove itself with."""
        return not (self.secret or self.certificate or self.federated)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that is known before somebody signs in.

    Attributes:
        name: Of the connection.
        place: Where it and its Secrets are.
        provider: Whose account it is.
        protocol: `IMAP`, `POP3` or `MicrosoftGraph`.
        username: The account that should sign in (`spec.auth.username`).
        shared: `spec.sharedMailbox`, or empty.
        folder: `spec.folder`; empty is the inbox.
        host: Mail server; empty for Graph.
        port: Its port; 0 for Graph.
        start_tls: The connection begins in the clear.
        cloud: Microsoft's cloud.
        scopes: Of the token, without those that only say who signed in.
        client_secret: Name of the Secret with the client.
        token_secret: Name of the Secret to write.
        token_key: Its key.
    """

    name: str
    place: Place
    provider: Provider
    protocol: str
    username: str
    shared: str
    folder: str
    host: str
    port: int
    start_tls: bool
    cloud: Cloud
    scopes: tuple[str, ...]
    client_secret: str
    token_secret: str
    token_key: str

    @property
    def mailbox(self) -> str:
        """The mailbox that is opened."""
        return self.shared or self.username

    @property
    def namespace(self) -> str:
        """Of the connection and its Secrets."""
        return self.place.namespace

    @property
    def again(self) -> str:
        """The command, for messages."""
        return f"kubectl mailfetch authorize {self.name} {self.place.options}"


def make_plan(connection: Connection, place: Place) -> Plan:
    """Reads what is needed from a connection, saved or not.

    Raises:
        PluginError: nothing is to be authorized, or the spec lacks something.
    """
    provider = _provider(connection, place)
    oauth2 = ("spec", "auth", "oauth2")
    protocol = connection.text("spec", "protocol")
    cloud = connection.text(*oauth2, "cloud") or "Global"
    if cloud not in CLOUDS:
        raise _wrong(connection, f"spec.auth.oauth2.cloud must be one of {', '.join(CLOUDS)}")
    kind = connection.text("spec", "auth", "type")
    shared = connection.text("spec", "sharedMailbox")
    host, port, start_tls = _server(connection, default=mail_host(kind, protocol, cloud))
    action = connection.text("spec", "afterDownload", "action") or "MarkSeen"
    return Plan(
        name=connection.name,
        place=place,
        provider=provider,
        protocol=protocol,
        username=_need(connection, "spec", "auth", "username"),
        shared=shared,
        folder=connection.text("spec", "folder"),
        host=host,
        port=port,
        start_tls=start_tls,
        cloud=CLOUDS[cloud],
        scopes=scopes(kind, protocol, cloud=cloud, shared=bool(shared), writes=action != "None"),
        client_secret=_need(connection, *oauth2, "clientSecretRef", "name"),
        token_secret=_need(connection, *oauth2, "tokenSecretRef", "name"),
        token_key=connection.text(*oauth2, "tokenSecretRef", "key") or "refresh-token",
    )


def read_client(values: Mapping[str, str] | None, plan: Plan) -> Client:
    """The client in its Secret.

    Args:
        values: Content of the Secret by key; None if there is no such Secret.
        plan: What it is for.

    Raises:
        PluginError: the Secret or a key is missing.
    """
    needed = ("client-id", "client-secret") if plan.provider == "Google" else ("client-id",)
    if values is None:
        raise PluginError(
            f"the Secret {plan.client_secret} with the OAuth2 client (spec.auth.oauth2.clientSecretRef)"
            f" {plan.place.without(plan.client_secret, needed)}"
        )
    found = {key: text.strip() for key, text in values.items()}
    if missing := [key for key in needed if not found.get(key)]:
        raise PluginError(
            f"the Secret {plan.client_secret} (spec.auth.oauth2.clientSecretRef)"
            f" {plan.place.lacking(plan.client_secret, missing)}"
        )
    return Client(
        id=found["client-id"],
        secret=found.get("client-secret", ""),
        tenant=found.get("tenant-id") or DEFAULT_TENANT,
        certificate=found.get("certificate.pem", ""),
        private_key=found.get("private-key.pem", ""),
        federated=found.get("federated-token", ""),
    )


def _provider(connection: Connection, place: Place) -> Provider:
    kind = connection.text("spec", "auth", "type")
    if kind == "Password":
        raise PluginError(
            f"{connection.name} logs in with a password (spec.auth.type Password), so there is nothing to authorize."
            " Put the password into the Secret that spec.auth.passwordSecretRef names; or set auth.type to"
            " MicrosoftOAuth2 or GoogleOAuth2."
        )
    if kind not in _PROVIDERS:
        raise _wrong(connection, "spec.auth.type must be MicrosoftOAuth2 or GoogleOAuth2 in order to authorize")
    if connection.text("spec", "auth", "oauth2", "flow") == "Application":
        raise PluginError(
            f"{connection.name} uses the flow Application, so nobody has to authorize it: the client itself has the"
            " permission, which an administrator grants at the provider (docs/providers). What comes next:\n"
            + place.next_step(connection.name)
        )
    return _PROVIDERS[kind]


def _server(connection: Connection, *, default: str) -> tuple[str, int, bool]:
    protocol = connection.text("spec", "protocol")
    if protocol == "MicrosoftGraph":
        return "", 0, False
    port = _PORTS.get((protocol, connection.encryption))
    if port is None:
        raise _wrong(
            connection, "spec.protocol must be IMAP, POP3 or MicrosoftGraph, server.encryption TLS or StartTLS"
        )
    return (
        connection.host or default,
        connection.number("spec", "server", "port") or port,
        connection.encryption == "StartTLS",
    )


def _need(connection: Connection, *path: str) -> str:
    if value := connection.text(*path):
        return value
    raise _wrong(connection, f"{'.'.join(path)} is missing")


def _wrong(connection: Connection, what: str) -> PluginError:
    return PluginError(f"{connection.name} cannot be authorized: {what}", code=Exit.USAGE)
