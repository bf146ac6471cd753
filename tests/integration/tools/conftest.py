"""Each test has a server of its own, once Redis 7.0 and once Valkey 9, and the tools with its Secret mounted."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from tests.integration.store.helpers import Store, store_on
from tests.integration.tools.helpers import Tools
from tests.servers.proxy import FaultProxy
from tests.servers.redis import Kind, RedisServer


@pytest.fixture(params=["redis", "valkey"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return cast("Kind", request.param)


@pytest.fixture
def server(kind: Kind) -> Iterator[RedisServer]:
    with RedisServer(kind=kind, appendfsync="always") as running:
        yield running


@pytest.fixture
def store(server: RedisServer) -> Iterator[Store]:
    with store_on(server.url, server.client()) as made:
        yield made


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(server.port) as made:
        yield made


@pytest.fixture
def tools(store: Store, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Tools:
    return Tools(store.url, directory=tmp_path / "redis", output=capfdbinary)
