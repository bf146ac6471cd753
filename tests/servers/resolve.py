"""Leads the names of Google and Microsoft to the doubles, in this process or in a child.

    with resolve({**authority.addresses, ("outlook.office365.com", 993): dovecot.imaps_port}):
        ...
    subprocess.Popen(command, env=child_environment(addresses))

Everything that opens connections in Python asks `socket.getaddrinfo`. A provider's name that is not given fails as if
it did not exist, so that no test leaves the machine.
"""

import contextlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.servers.inject.sitecustomize import VARIABLE, redirected

Addresses = Mapping[tuple[str, int], int]
"""(host, port) → port of 127.0.0.1."""

_INJECT = Path(__file__).with_name("inject")

AUTHORITIES = (
    *("login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn"),
    *("accounts.google.com", "oauth2.googleapis.com", "www.googleapis.com"),
)
GRAPHS = ("graph.microsoft.com", "graph.microsoft.us", "dod-graph.microsoft.us", "microsoftgraph.chinacloudapi.cn")
MAILS = (
    *("outlook.office365.com", "outlook.office365.us", "outlook-dod.office365.us", "partner.outlook.cn"),
    *("imap.gmail.com", "pop.gmail.com"),
)
CERTIFICATE_NAMES = tuple(f"DNS:{host}" for host in (*AUTHORITIES, *GRAPHS, *MAILS))
"""For `make_certificates(directory, hosts=CERTIFICATE_NAMES)`: every provider's name."""


@contextlib.contextmanager
def resolve(addresses: Addresses) -> Iterator[None]:
    """Redirects in this process, all threads; contexts nest, the inner one first."""
    before = socket.getaddrinfo
    # An outer one knows names that this one does not: it is asked before the name is refused.
    merged = {
        **getattr(before, "addresses", {}),
        **{(host.lower(), port): to for (host, port), to in addresses.items()},
    }
    real = getattr(before, "real", before)
    lookup = redirected(real, merged)
    lookup.addresses, lookup.real = merged, real  # type: ignore[attr-defined]
    socket.getaddrinfo = lookup
    try:
        yield
    finally:
        socket.getaddrinfo = before


def child_environment(addresses: Addresses, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a Python that resolves likewise; another `sitecustomize` on PYTHONPATH keeps its effect.

    Args:
        addresses: As for `resolve`.
        environ: What the child would get otherwise; our own by default.
    """
    environ = os.environ if environ is None else environ
    paths = [str(_INJECT), *filter(None, [environ.get("PYTHONPATH", "")])]
    told = {f"{host.lower()}:{port}": to for (host, port), to in addresses.items()}
    return {**environ, "PYTHONPATH": os.pathsep.join(paths), VARIABLE: json.dumps(told)}
