"""A scripted server and sources connected to it."""

import dataclasses
from collections.abc import Callable, Iterator

import pytest

from mailfetch_fetcher.sources.pop3 import Pop3Source
from mailfetch_fetcher.sources.pop3_settings import Pop3Settings
from mailfetch_fetcher.tls import client_context
from tests.servers.certs import Certificates
from tests.servers.ledger import Ledger
from tests.servers.pop3fake import FakePop3

MakeSource = Callable[..., Pop3Source]


@pytest.fixture
def server(certificates: Certificates) -> Iterator[FakePop3]:
    with FakePop3(certificates=certificates) as fake:
        yield fake


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def make_source(server: FakePop3, certificates: Certificates) -> Iterator[MakeSource]:
    """Makes a source for the server, not opened yet; keywords replace fields of its settings."""
    base = Pop3Settings(
        host="127.0.0.1",
        port=server.port,
        username="user",
        password=lambda: "pass",
        encryption="None",
        allow_insecure_login=True,
        timeout=20.0,
    )
    made: list[Pop3Source] = []

    def make(**changes: object) -> Pop3Source:
        if isinstance(text := changes.get("password"), str):
            changes["password"] = lambda: text
        settings = dataclasses.replace(base, **changes)  # type: ignore[arg-type]
        made.append(Pop3Source(settings, context=client_context(certificates.ca.read_bytes())))
        return made[-1]

    yield make
    for source in made:
        source.close()
