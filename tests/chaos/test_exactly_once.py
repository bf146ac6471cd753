"""Storms: exactly once while one random fault follows the other, over TLS; for the points that nobody thought of.

MAILFETCH_CHAOS_ROUNDS repeats each list of faults that often in one world.
"""

import os
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal

import pytest

from tests.chaos import faults
from tests.chaos.faults import Fault
from tests.chaos.storm import StormWorld
from tests.chaos.world import Action
from tests.servers.redis import Kind, RedisServer

MAILS = 200
ROUNDS = int(os.environ.get("MAILFETCH_CHAOS_ROUNDS") or 1)
SLOWER = 0.004
"""Seconds that each piece of data of the mail server waits, so that a download lasts long enough to be hit."""
MakeWorld = Callable[..., AbstractContextManager[StormWorld]]


def storm(world: StormWorld, rng: random.Random, chosen: tuple[Fault, ...], *, mails: int = MAILS) -> None:
    """The mails come while one fault after the other happens; then what is left runs to its end and is judged."""
    world.fill(mails, rng)
    world.mail_proxy.delay = SLOWER
    world.start("pod-1")
    for fault in rng.sample(chosen * ROUNDS, len(chosen) * ROUNDS):
        fault(world, rng)
    world.wait_until_done()
    world.check_now()
    for proxy in (world.mail_proxy, world.redis_proxy):
        proxy.call_off()  # a lease cannot be given back over a link that breaks again and again
    world.judge()


@pytest.mark.parametrize("action", ["None", "Move"])
def test_kills(make_world: MakeWorld, rng: random.Random, action: Action) -> None:
    with RedisServer(kind="valkey") as redis, make_world(redis, action) as world:
        storm(world, rng, faults.KILLS)


@pytest.mark.parametrize(("action", "kind"), [("MarkSeen", "valkey"), ("Move", "redis")])
def test_cuts_and_lost_replies(make_world: MakeWorld, rng: random.Random, action: Action, kind: Kind) -> None:
    with RedisServer(kind=kind) as redis, make_world(redis, action) as world:
        storm(world, rng, faults.CUTS)


@pytest.mark.parametrize("action", ["Delete"])
def test_leases(make_world: MakeWorld, rng: random.Random, action: Action) -> None:
    with RedisServer(kind="valkey") as redis, make_world(redis, action) as world:
        storm(world, rng, faults.LEASES)


@pytest.mark.parametrize(("action", "appendfsync"), [("MarkSeen", "always"), ("Delete", "everysec")])
def test_restarts_of_redis(
    make_world: MakeWorld, rng: random.Random, action: Action, appendfsync: Literal["always", "everysec"]
) -> None:
    with RedisServer(kind="valkey", appendfsync=appendfsync) as redis, make_world(redis, action) as world:
        storm(world, rng, faults.RESTARTS)
