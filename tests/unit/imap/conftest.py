"""A scripted server and sources connected to it."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailfetch_fetcher.sources.imap import ImapSource
from mailfetch_fetcher.sources.imap_settings import ImapSettings
from mailfetch_fetcher.tls import client_context
from tests.servers.certs import Certificates
from tests.servers.imapfake import FakeFolder, FakeImap
from tests.servers.mailgen import mails, make_mail

MakeSource = Callable[..., ImapSource]


@pytest.fixture
def server(certificates: Certificates) -> Iterator[FakeImap]:
    with FakeImap(certificates=certificates) as fake:
        yield fake


@pytest.fixture
def make_source(server: FakeImap, certificates: Certificates) -> Iterator[MakeSource]:
    """Makes a source for the server, not opened yet; keywords replace fields of its settings; `alive` is its own."""
    base = ImapSettings(
        host="127.0.0.1",
        port=server.port,
        username="user",
        password="pass",
        encryption="None",
        allow_insecure_login=True,
        timeout=20.0,
    )
    made: list[ImapSource] = []

    def make(*, alive: Callable[[], None] = lambda: None, **changes: object) -> ImapSource:
        settings = dataclasses.replace(base, **changes)  # type: ignore[arg-type]
        made.append(ImapSource(settings, context=client_context(certificates.ca.read_bytes()), alive=alive))
        return made[-1]

    yield make
    for source in made:
        source.close()


@pytest.fixture
def secrets_dir(tmp_path: Path) -> Path:
    return tmp_path / "secrets"


@pytest.fixture
def five_mails(server: FakeImap) -> None:
    """UIDs 1 to 5 in INBOX, and an empty folder Done."""
    server.folders["Done"] = FakeFolder(uid_validity=2)
    for index in range(5):
        server.inbox.add(make_mail(index))


@pytest.fixture
def raws(server: FakeImap) -> list[bytes]:
    made = list(mails(30))
    for raw in made:
        server.inbox.add(raw)
    return made
