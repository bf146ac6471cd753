"""What happens at a fault point: each a function on a case whose connection stands still there."""

import random
import signal
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos import clocks
from tests.chaos.stores import Store
from tests.chaos.tap import Tap
from tests.chaos.trap import Trap
from tests.chaos.world import LEASE, World
from tests.servers.redis import wait_until


@dataclass(kw_only=True)
class Scene:
    """A stopped run.

    Attributes:
        mail: The proxy before the mail server.
        redis: The proxies before Redis.
        recorded: What was on the disk of Redis when is known.
    """

    world: World
    trap: Trap
    rng: random.Random
    mail: Tap
    redis: list[Tap]
    store: Store
    recorded: bool = True

    def other_pod(self) -> str:
        """A name that no pod has yet."""
        return f"pod-{self.rng.randrange(2, 10**6)}"


Strike = Callable[[Scene], None]


def kill(scene: Scene) -> None:
    """kill -9; the container starts again in the same pod, which has its lease back at once."""
    _die(scene)
    scene.world.start("pod-1")


def kill_other_pod(scene: Scene) -> None:
    """kill -9; another pod goes on when the lease has run out."""
    _die(scene)
    scene.world.start(scene.other_pod())


def cut(scene: Scene) -> None:
    """The connection ends."""
    scene.trap.decide("cut")


def silence(scene: Scene) -> None:
    """The connection stays open and nothing passes any more: noticed by its timeout only."""
    scene.trap.decide("hold")


def zombie(scene: Scene) -> None:
    """SIGSTOP; another fetcher takes over; the first one wakes up, and what it had on the wire arrives late."""
    world = scene.world
    frozen = world.fetchers[0]
    frozen.signal(signal.SIGSTOP)
    owner = world.owner()
    world.start(scene.other_pod())
    wait_until(lambda: world.owner() != owner, what=f"a take-over after {LEASE} s")
    if scene.rng.random() < 0.5:
        world.wait_until_done()
    frozen.signal(signal.SIGCONT)
    scene.trap.decide("release")


def term(scene: Scene) -> None:
    """SIGTERM, as a node that is drained does it; then another pod starts."""
    world = scene.world
    ending = world.fetchers[0]
    ending.signal(signal.SIGTERM)
    scene.trap.decide("release")
    world.stop(ending)
    world.start(scene.other_pod())


def twin(scene: Scene) -> None:
    """A second fetcher with the same assignment starts, and the first one goes on at the same time."""
    second = scene.world.start(scene.other_pod())
    wait_until(lambda: bool(second.report()), what="the second fetcher runs")
    scene.trap.decide("release")


def lease_expires(scene: Scene) -> None:
    """The lease is gone before its time, as when the clock of Redis jumps; a second fetcher takes over."""
    world = scene.world
    owner = world.owner()
    world.start(scene.other_pod())

    def gone() -> bool:
        if world.owner() != owner:
            return True
        world.client.delete(f"{world.keys}:lease")  # again and again: the first fetcher renews it
        return False

    wait_until(gone, what="a take-over")
    scene.trap.decide("release")


def _die(scene: Scene) -> None:
    scene.world.end(scene.world.fetchers[0])
    scene.trap.decide("cut")


def clock_jumps(seconds: int, scene: Scene) -> None:
    """The clock of the fetcher's machine jumps."""
    clocks.jump(scene.world.directory / "clock", seconds)
    scene.trap.decide("release")
