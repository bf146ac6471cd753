"""Sources connected to a real Dovecot."""

import dataclasses
from collections.abc import Callable, Iterator

import pytest

from mailfetch_fetcher.sources.imap import ImapSource
from mailfetch_fetcher.sources.imap_settings import ImapSettings
from mailfetch_fetcher.tls import client_context
from tests.servers.certs import Certificates
from tests.servers.dovecot import Dovecot

MakeSource = Callable[..., ImapSource]


@pytest.fixture
def make_source(dovecot: Dovecot, certificates: Certificates) -> Iterator[MakeSource]:
    """Makes a source for a user, not opened yet: TLS unless `encryption` says something else."""
    made: list[ImapSource] = []

    def make(user: str, *, server: Dovecot = dovecot, **changes: object) -> ImapSource:
        encrypted = changes.get("encryption", "TLS") == "TLS"
        settings = ImapSettings(
            host=server.host,
            port=server.imaps_port if encrypted else server.imap_port,
            username=user,
            password=server.password(user),
            timeout=60.0,
        )
        settings = dataclasses.replace(settings, **changes)  # type: ignore[arg-type]
        made.append(ImapSource(settings, context=client_context(certificates.ca.read_bytes())))
        return made[-1]

    yield make
    for source in made:
        source.close()
