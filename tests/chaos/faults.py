"""What a storm is made of: faults at random moments, each a function on a running world."""

import random
import signal
import time
from collections.abc import Callable

from tests.chaos.storm import COMMIT, StormWorld
from tests.chaos.world import LEASE
from tests.servers.proxy import Direction, FaultProxy
from tests.servers.redis import wait_until

Fault = Callable[[StormWorld, random.Random], None]


def random_moment(world: StormWorld, rng: random.Random) -> None:
    """While mails come: when a random number more is stored; otherwise after a random time."""
    wanted = world.stored() + rng.randrange(1, max(2, len(world.originals) // 6))
    end = time.monotonic() + rng.uniform(0.3, 1.8)
    while time.monotonic() < end and world.stored() < wanted:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.05))


def kill(world: StormWorld, rng: random.Random) -> None:
    """kill -9; the container starts again in the same pod, which has its lease back at once."""
    random_moment(world, rng)
    world.end(world.fetchers[0])
    world.check_now()
    world.start("pod-1")


def kill_and_another_pod(world: StormWorld, rng: random.Random) -> None:
    """kill -9; another pod goes on when the lease has run out."""
    random_moment(world, rng)
    world.end(world.fetchers[0])
    world.check_now()
    world.start(f"pod-{rng.randrange(10**6)}")


def freeze_past_the_lease(world: StormWorld, rng: random.Random) -> None:
    """SIGSTOP; another fetcher takes over; the first one wakes up and must not do anything any more."""
    frozen = world.fetchers[0]
    random_moment(world, rng)
    frozen.signal(signal.SIGSTOP)
    owner = world.owner()
    second = world.start(f"pod-{rng.randrange(10**6)}")
    wait_until(lambda: world.owner() != owner, what=f"a take-over after {LEASE} s")
    time.sleep(rng.uniform(0, 0.3))
    frozen.signal(signal.SIGCONT)
    time.sleep(rng.uniform(0, 1.0))
    world.check_now()
    if rng.random() < 0.5:
        world.end(second)
    else:
        world.end(frozen)
    world.check_now()


def two_at_once(world: StormWorld, rng: random.Random) -> None:
    """A second fetcher of another pod, from now on; then one of them dies."""
    second = world.start(f"pod-{rng.randrange(10**6)}")
    random_moment(world, rng)
    world.check_now()
    world.end(rng.choice([world.fetchers[0], second]))


def kill_redis(world: StormWorld, rng: random.Random) -> None:
    """kill -9 of Redis; it starts again with what it has on disk."""
    random_moment(world, rng)
    world.redis.kill()
    time.sleep(rng.uniform(0, 0.3))
    world.redis.start()
    world.check_now()


def lose_the_reply_of_a_commit(world: StormWorld, rng: random.Random) -> None:
    """The next commit is carried out, its answer is lost."""
    random_moment(world, rng)
    world.redis_proxy.lose_reply_to(COMMIT)


def _cut(proxy: FaultProxy, direction: Direction, world: StormWorld, rng: random.Random) -> None:
    random_moment(world, rng)
    proxy.cut_after(rng.choice((1, rng.randrange(200), rng.randrange(20_000), rng.randrange(300_000))), direction)


def cut_from_server(world: StormWorld, rng: random.Random) -> None:
    """The connection to the mail server ends at a random byte of its answers."""
    _cut(world.mail_proxy, "to_client", world, rng)


def cut_to_server(world: StormWorld, rng: random.Random) -> None:
    """It ends at a random byte of a command."""
    _cut(world.mail_proxy, "to_server", world, rng)


def cut_from_redis(world: StormWorld, rng: random.Random) -> None:
    """A connection to Redis ends at a random byte of an answer."""
    _cut(world.redis_proxy, "to_client", world, rng)


def cut_to_redis(world: StormWorld, rng: random.Random) -> None:
    """It ends at a random byte of a command, mostly within a commit."""
    _cut(world.redis_proxy, "to_server", world, rng)


KILLS: tuple[Fault, ...] = (kill, kill, kill, kill_and_another_pod)
CUTS: tuple[Fault, ...] = (
    *(cut_from_server, cut_to_server, cut_from_redis, cut_to_redis),
    *(lose_the_reply_of_a_commit, lose_the_reply_of_a_commit),
)
LEASES: tuple[Fault, ...] = (freeze_past_the_lease, two_at_once)
RESTARTS: tuple[Fault, ...] = (kill_redis, kill_redis)
