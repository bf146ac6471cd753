"""Certificates for the doubles of this folder; a tenant, a Redis and a fetcher for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.fetcher.helpers import Fetcher, fetcher_on
from tests.integration.graph.tenant import Tenant, running
from tests.servers.certs import Certificates, make_certificates
from tests.servers.redis import RedisServer
from tests.servers.resolve import CERTIFICATE_NAMES


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"), hosts=CERTIFICATE_NAMES)


@pytest.fixture
def tenant(certificates: Certificates) -> Iterator[Tenant]:
    with running(certificates) as made:
        yield made


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer(kind="valkey") as started:
        yield started


@pytest.fixture
def fetcher(tmp_path: Path, server: RedisServer, tenant: Tenant) -> Iterator[Fetcher]:
    with fetcher_on(tmp_path / "pod", server.url) as started:
        tenant.give_secrets(started)
        yield started
