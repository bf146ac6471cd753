"""Sources connected to a real Dovecot."""

import dataclasses
from collections.abc import Callable, Iterator

import pytest

from mailfetch_fetcher.sources.pop3 import Pop3Source
from mailfetch_fetcher.sources.pop3_settings import Pop3Settings
from mailfetch_fetcher.tls import client_context
from tests.servers.certs import Certificates
from tests.servers.dovecot import Dovecot
from tests.servers.ledger import Ledger

MakeSource = Callable[..., Pop3Source]


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def make_source(dovecot: Dovecot, certificates: Certificates) -> Iterator[MakeSource]:
    """Makes a source for a user, not opened yet: TLS unless `encryption` says something else."""
    made: list[Pop3Source] = []

    def make(user: str, *, server: Dovecot = dovecot, password: str = "", **changes: object) -> Pop3Source:
        encrypted = changes.get("encryption", "TLS") == "TLS"
        settings = Pop3Settings(
            host=server.host,
            port=server.pop3s_port if encrypted else server.pop3_port,
            username=user,
            password=lambda: password or server.password(user),
            timeout=60.0,
        )
        settings = dataclasses.replace(settings, **changes)  # type: ignore[arg-type]
        made.append(Pop3Source(settings, context=client_context(certificates.ca.read_bytes())))
        return made[-1]

    yield make
    for source in made:
        source.close()
