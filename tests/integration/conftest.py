"""A real Dovecot, shared by the tests of sources; every test takes users of its own."""

import itertools
from collections.abc import Iterator

import pytest

from tests.servers.certs import Certificates
from tests.servers.dovecot import Dovecot


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


@pytest.fixture(scope="module")
def changing(certificates: Certificates) -> Iterator[Dovecot]:
    """A server whose certificate changes."""
    with Dovecot(certificates) as server:
        yield server
