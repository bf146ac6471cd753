"""Each test has a server of its own, once Redis 7.0 and once Valkey 9."""

from collections.abc import Iterator

import pytest

from tests.integration.store.fixtures import kind, proxy, store
from tests.servers.redis import Kind, RedisServer

__all__ = ["kind", "proxy", "store"]


@pytest.fixture
def server(kind: Kind) -> Iterator[RedisServer]:
    with RedisServer(kind=kind) as running:
        yield running
