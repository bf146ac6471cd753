"""The main job: mails from a real Dovecot through the cluster into the stream, exactly once, whatever is killed."""

import os
import random
import time

import pytest

from tests.e2e.world import TOOLS_POD, World
from tests.servers.mailgen import mails
from tests.servers.proxy import FaultProxy

pytestmark = [pytest.mark.node, pytest.mark.timeout(1500)]

MANY = 5_000
KILLS = 10


def test_from_disabled_over_the_gate_to_exactly_once(world: World) -> None:
    user = "user2@mail.test"
    world.mail.fill(user, mails(MANY, seed=2))
    world.connection("support", user=user)
    world.wait_ready("support", "Disabled")
    assert set(world.pods()) <= {TOOLS_POD}

    world.annotate("support", enable="true")
    ready = world.wait_ready("support", "AwaitingApproval")
    status = world.status("support")
    assert status["estimate"]["newMessages"] == MANY
    assert (status["estimate"]["accuracy"], status["estimate"]["confidence"]) == ("Exact", "High")
    assert ready["status"] == "True"
    assert f"mailfetch.dev/acknowledge={MANY}" in ready["message"]
    assert world.condition("support", "Active")["status"] == "False"
    assert world.redis().xlen(world.stream("support")) == 0

    world.annotate("support", acknowledge=str(MANY))
    world.wait_downloaded("support", MANY)
    world.wait_ready("support", "Idle")
    verdict = world.judge("support", user=user)
    assert verdict.ok, verdict
    assert verdict.mails == verdict.entries == MANY

    world.mail.deliver(user, b"From: a@b\r\nSubject: new\r\n\r\nhello\r\n")
    world.wait_downloaded("support", MANY + 1)
    story = world.kubectl("describe", "mailconnection", "support")
    told = [line.split()[1] for line in story[story.index("Events:") :].splitlines()[3:]]
    assert told.index("Enabled") < told.index("AwaitingApproval") < told.index("Approved") < told.index("CaughtUp")
    table = world.kubectl("get", "mailconnections").splitlines()
    assert table[0].split() == ["NAME", "MAILBOX", "STATE", "ACTIVE", "NEW", "LAG", "LAST", "AGE"]
    assert max(map(len, table)) <= 120


def test_ten_kills_of_the_fetcher_lose_and_double_nothing(world: World) -> None:
    """Two of three kills hit the container, the third one the whole pod, so that another pod takes over."""
    seed = int(os.environ.get("MAILFETCH_SEED") or random.SystemRandom().randrange(10**9))
    print(f"MAILFETCH_SEED={seed}")
    rng = random.Random(seed)
    user = "user3@mail.test"
    world.mail.fill(user, mails(MANY, seed=3))
    redis, stream = world.redis(), world.stream("support")
    # The proxy makes the download last a minute, so that ten kills fit in also where each takes seconds to arrange.
    with FaultProxy(world.mail.imaps_port, listen=world.cluster.host_ip) as slow:
        slow.delay = 0.3
        world.connection("support", user=user, server={"host": world.cluster.host_ip, "port": slow.port})
        world.annotate("support", enable="true", acknowledge="any")
        reached = 0
        for kill in range(KILLS):
            threshold = reached + rng.randrange(1, (MANY - reached) // (KILLS - kill + 1))
            _wait_for_length(world, stream, threshold)
            pod = world.fetcher_pod()
            reached = redis.xlen(stream)
            assert reached < MANY, "the download ended before the last kill; slow it down more"
            world.cluster.pod_kill(world.namespace, pod, "fetcher")
            if kill % 3 == 2:
                world.kubectl("delete", "pod", pod, "--grace-period=0", "--force", "--ignore-not-found")
        slow.delay = 0.0
        world.wait_downloaded("support", MANY)
    verdict = world.judge("support", user=user)
    assert verdict.ok, verdict
    assert verdict.mails == verdict.entries == MANY


def _wait_for_length(world: World, stream: str, length: int) -> None:
    redis = world.redis()
    deadline = time.monotonic() + 400
    while redis.xlen(stream) < length:
        assert time.monotonic() < deadline, world.explain()
        time.sleep(0.05)
