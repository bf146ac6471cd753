"""The judge itself: it must see a mail that is touched too early, one that is doubled, and one that is lost."""

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from tests.chaos.storm import StormWorld
from tests.servers.redis import RedisServer

MakeWorld = Callable[..., AbstractContextManager[StormWorld]]


def test_the_judge_sees_what_is_wrong(make_world: MakeWorld, rng: random.Random) -> None:
    with RedisServer(kind="valkey") as redis, make_world(redis, "MarkSeen") as world:
        world.fill(20, rng)
        world.start()
        world.wait_until_done()
        world.check_now()
        client: Any = world.client
        key, fields = client.xrange(world.queue, count=1)[0]
        client.xadd(world.queue, fields)
        with pytest.raises(AssertionError, match="doubled"):
            world.check_now()
        client.xdel(world.queue, key, client.xrevrange(world.queue, count=1)[0][0])
        with pytest.raises(AssertionError, match="touched, but not in the stream"):
            world.check_now()
        with pytest.raises(AssertionError, match="lost"):
            world.judge()
