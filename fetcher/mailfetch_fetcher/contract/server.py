"""Which mail server a spec means: the one that it names, or the provider's own."""

from mailfetch_fetcher.contract import providers
from mailfetch_fetcher.contract.spec import Server, Spec


def mail_server(spec: Spec) -> Server | None:
    """The server, with TLS if it is the provider's; None where no mail server is spoken to (MicrosoftGraph)."""
    if spec.server:
        return spec.server
    cloud = spec.auth.oauth2.cloud if spec.auth.oauth2 else "Global"
    host = providers.mail_host(spec.auth.type, spec.protocol, cloud)
    return Server(host=host) if host else None


def need_mail_server(spec: Spec) -> Server:
    """The server.

    Raises:
        ValueError: nothing tells which.
    """
    if server := mail_server(spec):
        return server
    raise ValueError("spec.server is missing")
