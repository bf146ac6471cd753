"""One Dovecot for all tests, with a user for each; a Redis and a fetcher for each test."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.fetcher.helpers import Account, Fetcher, fetcher_on
from tests.servers.certs import make_certificates
from tests.servers.dovecot import Dovecot
from tests.servers.redis import RedisServer

_numbers = itertools.count()


@pytest.fixture(scope="session")
def dovecot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dovecot]:
    with Dovecot(make_certificates(tmp_path_factory.mktemp("certificates"))) as running:
        yield running


@pytest.fixture
def make_account(dovecot: Dovecot) -> Callable[[], Account]:
    return lambda: Account(dovecot, f"fetch{next(_numbers)}@mail.test", "the password")


@pytest.fixture
def account(make_account: Callable[[], Account]) -> Account:
    return make_account()


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer(kind="valkey") as running:
        yield running


@pytest.fixture
def fetcher(tmp_path: Path, server: RedisServer) -> Iterator[Fetcher]:
    with fetcher_on(tmp_path / "pod", server.url) as running:
        yield running
