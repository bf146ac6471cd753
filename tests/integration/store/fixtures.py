"""pytest fixtures of whatever works on a store of its own; imported by the conftest.py of those tests."""

from collections.abc import Iterator
from typing import cast

import pytest

from tests.integration.store.helpers import Store, store_on
from tests.servers.proxy import FaultProxy
from tests.servers.redis import Kind, RedisServer


@pytest.fixture(params=["redis", "valkey"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return cast("Kind", request.param)


@pytest.fixture
def store(server: RedisServer) -> Iterator[Store]:
    """On the `server` that stands beside the tests."""
    with store_on(server.url, server.client()) as made:
        yield made


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(server.port) as made:
        yield made
