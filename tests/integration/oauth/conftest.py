"""The authorities and mail servers of both providers, under their own names, for a fetcher with a Redis of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.fetcher.helpers import Fetcher, Mounts, fetcher_on
from tests.integration.oauth.helpers import GOOGLE_HOST, MICROSOFT_HOST, Providers
from tests.servers.authority import Authority
from tests.servers.certs import Certificates, make_certificates
from tests.servers.dovecot import Dovecot
from tests.servers.dovecot_oauth2 import OAuth2
from tests.servers.redis import RedisServer
from tests.servers.resolve import CERTIFICATE_NAMES, resolve


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"), hosts=CERTIFICATE_NAMES)


@pytest.fixture(scope="session")
def authority(certificates: Certificates) -> Iterator[Authority]:
    with Authority(certificates) as running:
        yield running


@pytest.fixture(scope="session")
def exchange(authority: Authority, certificates: Certificates) -> Iterator[Dovecot]:
    """Opens a mailbox to everybody of its domain: shared mailboxes, applications."""
    oauth2 = OAuth2(introspection=authority.introspection(MICROSOFT_HOST), users="domain")
    with Dovecot(certificates, oauth2=oauth2) as running:
        yield running


@pytest.fixture(scope="session")
def gmail(authority: Authority, certificates: Certificates) -> Iterator[Dovecot]:
    """Opens a mailbox only to its own user."""
    oauth2 = OAuth2(introspection=authority.introspection(GOOGLE_HOST))
    with Dovecot(certificates, oauth2=oauth2) as running:
        yield running


@pytest.fixture
def providers(authority: Authority, exchange: Dovecot, gmail: Dovecot) -> Iterator[Providers]:
    made = Providers(authority=authority, exchange=exchange, gmail=gmail)
    authority.expires_in = 3599
    with resolve(made.addresses):
        yield made
    authority.release()
    authority.recover()
    assert not authority.faults


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer(kind="valkey") as running:
        yield running


@pytest.fixture
def fetcher(tmp_path: Path, server: RedisServer, providers: Providers) -> Iterator[Fetcher]:
    with fetcher_on(tmp_path / "pod", server.url) as running:
        yield running


@pytest.fixture
def mounts(tmp_path: Path) -> Mounts:
    return Mounts(tmp_path / "pod", "redis://nowhere")
