"""Each test has a server of its own, once Redis 7.0 and once Valkey 9, and the tools with its Secret mounted."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.store.fixtures import kind, proxy, store
from tests.integration.store.helpers import Store
from tests.integration.tools.helpers import Tools
from tests.servers.redis import Kind, RedisServer

__all__ = ["kind", "proxy", "store"]


@pytest.fixture
def server(kind: Kind) -> Iterator[RedisServer]:
    with RedisServer(kind=kind, appendfsync="always") as running:
        yield running


@pytest.fixture
def tools(store: Store, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Tools:
    return Tools(store.url, directory=tmp_path / "redis", output=capfdbinary)
