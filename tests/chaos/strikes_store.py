"""What happens to Redis while a run stands still."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos import clocks
from tests.chaos.stores import Standalone, Watched
from tests.chaos.strikes import Scene
from tests.servers.redis import free_port, wait_until

FROZEN = 12.0
"""Seconds; a link gives up after ten."""
TOLD = 20.0
BEHIND = 6.0
"""Seconds that the clock is behind; long enough for a barrier that does not notice."""
WORN = 10**6
"""What comes next gets a new store."""


def killed(scene: Scene) -> None:
    """kill -9; it starts again with what it has on disk."""
    with _out_of_reach(scene):
        _standalone(scene).kill()
    scene.trap.decide("cut")


def frozen(scene: Scene) -> None:
    """SIGSTOP for longer than anybody waits, then it goes on."""
    server = _standalone(scene).server
    server.freeze()
    scene.trap.decide("release")
    time.sleep(FROZEN)
    server.thaw()


def read_only(scene: Scene) -> None:
    """It becomes a replica (of a master that is not there), and a master again when the fetcher has told of it."""
    client = scene.world.client
    client.execute_command("REPLICAOF", "127.0.0.1", free_port())
    scene.trap.decide("release")
    _until_told(scene)
    client.execute_command("REPLICAOF", "NO", "ONE")


def full(scene: Scene) -> None:
    """Its memory is full, until the fetcher has told of it."""
    client = scene.world.client
    client.config_set("maxmemory", "1")
    scene.trap.decide("release")
    _until_told(scene)
    client.config_set("maxmemory", "0")


def flushed(scene: Scene) -> None:
    """FLUSHALL: the gate closes (StateLost) and nothing more is touched, until people approve anew."""
    world = scene.world
    world.client.flushall()
    touched = len(scene.mail.sent)
    scene.trap.decide("release")
    wait_until(lambda: world.fetchers[0].report().get("gate") == "StateLost", what="StateLost")
    assert world.stored() == 0, "something was stored although the state is lost"
    assert len(scene.mail.sent) == touched, f"touched after the state was lost: {scene.mail.sent[touched:]}"
    world.end(world.fetchers[0])
    world.start("pod-1")  # a person starts it anew: for the standalone fetcher that is the approval


def older_copy(scene: Scene) -> None:
    """An older copy is restored, made before the mails of this run came."""
    store = _standalone(scene)
    copy = store.directory / "copy"
    with _out_of_reach(scene):
        store.while_down(lambda data: _replaced(data / "appendonlydir", copy))
    store.used = WORN
    scene.recorded = False
    scene.trap.decide("cut")


def copy_made(scene: Scene) -> None:
    """Makes the copy that `older_copy` restores; nobody writes now."""
    store = _standalone(scene)
    shutil.rmtree(store.directory / "copy", ignore_errors=True)
    shutil.copytree(store.server.data / "appendonlydir", store.directory / "copy")


def failover(scene: Scene) -> None:
    """Sentinel makes the replica the master; what was on the wire comes to the old master."""
    _watched(scene).setup.failover()
    scene.trap.decide("release")


def failover_late(scene: Scene) -> None:
    """The same, but the old master stays a writable master for some seconds, as in real life."""
    setup = _watched(scene).setup
    setup.failover(at_once=False)
    scene.trap.decide("release")
    setup.await_in_step()


def isolated(scene: Scene) -> None:
    """The master is cut off from Sentinels and replica, not from the fetcher: what it takes now is thrown away."""
    setup = _watched(scene).setup
    old = setup.isolate_master()
    scene.trap.decide("release")
    time.sleep(3.0)
    setup.heal(old)


def master_killed(scene: Scene) -> None:
    """kill -9 of the master; the replica takes over, the dead one comes back as its replica."""
    store = _watched(scene)
    old = store.setup.kill_master()
    scene.trap.decide("cut")
    disk = store.disks[store.setup.nodes.index(old)]
    disk.end()
    old.start()
    disk.begin()
    store.setup.heal(old)


def clock_ahead(scene: Scene) -> None:
    """Its clock jumps an hour ahead: leases and blobs expire by it, and the ids of entries are made of it."""
    clocks.jump(scene.store.directory / "clock", 3600)
    scene.store.used = WORN
    scene.trap.decide("release")


def clock_back(scene: Scene) -> None:
    """Its clock is set back by an hour, for some seconds.

    With `appendfsync everysec` it forces nothing to disk until its clock has caught up: meanwhile nothing is touched.
    """
    offset = scene.store.directory / "clock"
    scene.store.used = WORN
    clocks.jump(offset, -3600)
    scene.trap.decide("release")
    time.sleep(BEHIND)
    clocks.jump(offset, 0)


def blob_expires(scene: Scene) -> None:
    """The bodies that wait for their commit are gone: their time to live has ended."""
    client = scene.world.client
    stream = scene.world.queue.removesuffix(":queue")
    for key in client.scan_iter(f"{stream}:blob:*", count=1000):
        if client.pttl(key) > 0:
            client.delete(key)
    scene.trap.decide("release")


@contextmanager
def _out_of_reach(scene: Scene) -> Iterator[None]:
    """Nobody writes until what is on disk is recorded again."""
    for tap in scene.redis:
        tap.refuse = True
        tap.cut()
    try:
        yield
    finally:
        for tap in scene.redis:
            tap.refuse = False


def _until_told(scene: Scene) -> None:
    """Until the fetcher reports a problem, or has nothing left to do that could fail."""
    world, end = scene.world, time.monotonic() + TOLD
    while time.monotonic() < end and not world.fetchers[0].report().get("problem"):
        time.sleep(0.05)
        if world.done():
            return


def _replaced(target: Path, source: Path) -> None:
    shutil.rmtree(target)
    shutil.copytree(source, target)


def _standalone(scene: Scene) -> Standalone:
    assert isinstance(scene.store, Standalone), scene.store
    return scene.store


def _watched(scene: Scene) -> Watched:
    assert isinstance(scene.store, Watched), scene.store
    return scene.store
