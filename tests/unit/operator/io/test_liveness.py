"""Liveness: quiet is not dead, and dead is not quiet."""

from mailfetch_operator.liveness import WATCH_LIMIT, WORK_LIMIT, Liveness


class World:
    now = 1000.0
    standstill = 0.0


def alive(world: World) -> Liveness:
    return Liveness(paths=["/a", "/b"], standstill=lambda: world.standstill, clock=lambda: world.now)


def test_a_watch_that_never_opens_is_noticed() -> None:
    world = World()
    liveness = alive(world)
    world.now += WATCH_LIMIT
    assert liveness.problems() == []
    liveness.attempted("/a")
    world.now += 1
    assert [p.split()[:4] for p in liveness.problems()] == [["the", "watch", "of", "/b"]]


def test_a_watch_that_opens_again_and_again_is_alive() -> None:
    world = World()
    liveness = alive(world)
    for _ in range(10):
        world.now += WATCH_LIMIT - 1
        liveness.attempted("/a")
        liveness.attempted("/b")
        assert liveness.problems() == []


def test_other_watches_do_not_count() -> None:
    world = World()
    liveness = alive(world)
    world.now += WATCH_LIMIT + 1
    liveness.attempted("/c")
    assert len(liveness.problems()) == 2


def test_work_that_stands_still_is_noticed() -> None:
    world = World()
    liveness = alive(world)
    world.standstill = WORK_LIMIT + 1
    assert "no reconcile finished for 301 s" in liveness.problems()[0]
