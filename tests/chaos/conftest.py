"""One Dovecot for all, a user and a Redis for each world; the seed is printed and can be set (MAILFETCH_SEED)."""

import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.chaos.cases import SEED
from tests.chaos.rooms import Rooms
from tests.chaos.storm import StormWorld, storm_world
from tests.chaos.world import Action
from tests.servers.certs import make_certificates
from tests.servers.dovecot import Dovecot
from tests.servers.redis import RedisServer
from tests.servers.resolve import CERTIFICATE_NAMES

_numbers = itertools.count()


def pytest_report_header() -> str:
    return f"chaos: MAILFETCH_SEED={SEED}"


@pytest.fixture(scope="session")
def dovecot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dovecot]:
    with Dovecot(make_certificates(tmp_path_factory.mktemp("certificates"))) as running:
        yield running


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Depends on the seed and on the test only, so that one test can be run again alone."""
    print(f"MAILFETCH_SEED={SEED}")  # shown when the test fails
    return random.Random(f"{SEED} {request.node.name}")


@pytest.fixture(scope="session")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rooms]:
    """Servers for the cases."""
    made = Rooms(make_certificates(tmp_path_factory.mktemp("certificates"), hosts=CERTIFICATE_NAMES))
    yield made
    made.close()


@pytest.fixture
def make_world(tmp_path: Path, dovecot: Dovecot) -> Callable[..., AbstractContextManager[StormWorld]]:
    def make(redis: RedisServer, action: Action) -> AbstractContextManager[StormWorld]:
        user = f"storm{next(_numbers)}@mail.test"
        dovecot.add_user(user, "pass")
        return storm_world(directory=tmp_path, dovecot=dovecot, redis=redis, user=user, action=action)

    return make
