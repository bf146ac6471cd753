"""A real Dovecot, shared by the tests of this folder; every test takes users of its own."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator

import pytest

from mailfetch_fetcher.sources.pop3 import Pop3Source
from mailfetch_fetcher.sources.pop3_settings import Pop3Settings
from mailfetch_fetcher.tls import client_context
from tests.servers.certs import Certificates, make_certificates
from tests.servers.dovecot import Dovecot
from tests.servers.ledger import Ledger

MakeSource = Callable[..., Pop3Source]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def dovecot(certificates: Certificates) -> Iterator[Dovecot]:
    with Dovecot(certificates) as server:
        yield server


@pytest.fixture(scope="session")
def numbers() -> Iterator[int]:
    return itertools.count(1)


@pytest.fixture
def user(dovecot: Dovecot, numbers: Iterator[int]) -> str:
    """A user with an empty mailbox."""
    name = f"fresh{next(numbers)}@mail.test"
    dovecot.add_user(name, "secret")
    return name


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


@pytest.fixture
def open_source(make_source: MakeSource) -> MakeSource:
    """The same, opened."""

    def opened(user: str, **changes: object) -> Pop3Source:
        source = make_source(user, **changes)
        source.open()
        return source

    return opened
