"""pytest fixtures that tests of sources use, whatever the protocol; imported by tests/conftest.py."""

from collections.abc import Callable

import pytest

from mailfetch_fetcher.sources.source import Source
from tests.servers.certs import Certificates, make_certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def open_source(make_source: Callable[..., Source]) -> Callable[..., Source]:
    """As `make_source`, which stands beside the tests; opened."""

    def opened(*arguments: object, **changes: object) -> Source:
        source = make_source(*arguments, **changes)
        source.open()
        return source

    return opened
