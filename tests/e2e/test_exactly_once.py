"""Over POP3, with a mail larger than the fetcher's memory, through a renumbered mailbox, and away again at the end."""

import hashlib
import json
import time

import pytest

from tests.e2e.world import DEADLINE, World
from tests.servers import checker
from tests.servers.mailgen import large_mail, mails

pytestmark = [pytest.mark.node, pytest.mark.timeout(900)]

LARGE = (150 << 20) - 1
"""Just what the default of spec.queue.maxMessageSize allows."""


def test_pop3_downloads_all_and_empties_the_mailbox(world: World) -> None:
    user = "user4@mail.test"
    world.mail.fill(user, mails(40, seed=4))
    originals = checker.read_mailbox(world.mailbox(user))
    server = {"host": world.cluster.host_ip, "port": world.mail.pop3s_port}
    world.connection("support", user=user, protocol="POP3", server=server, afterDownload={"action": "Delete"})
    world.annotate("support", enable="true")
    world.wait_downloaded("support", 40)
    assert world.mail.flags(user) == {}
    verdict = checker.compare_contents(originals, world.entries("support"))
    assert verdict.ok, verdict


def test_a_renumbered_mailbox_is_recognised_while_the_fetcher_runs(world: World) -> None:
    user = "user5@mail.test"
    world.mail.fill(user, mails(40, seed=5))
    world.connection("support", user=user)
    world.annotate("support", enable="true")
    world.wait_downloaded("support", 40)
    pod = world.fetcher_pod()
    world.mail.set_uid_validity(user, 4711)
    world.mail.fill(user, mails(2, seed=5, start=40))
    world.wait_downloaded("support", 42)
    _wait_for_event(world, "MailboxReset")
    verdict = checker.compare_contents(checker.read_mailbox(world.mailbox(user)), world.entries("support"))
    assert verdict.ok, verdict
    assert (world.fetcher_pod(), world.restarts(pod)) == (pod, 0)
    assert world.status("support")["mailbox"]["uidValidity"] == "4711"


def test_the_largest_mail_passes_through_a_fetcher_with_less_memory(world: World) -> None:
    user = "user6@mail.test"
    large = large_mail(LARGE)
    world.mail.fill(user, [large])
    wanted = hashlib.sha256(large).hexdigest()
    del large
    resources = {"requests": {"memory": "128Mi"}, "limits": {"memory": "128Mi"}}
    world.connection("support", user=user, placement={"mode": "Dedicated", "resources": resources})
    world.annotate("support", enable="true")
    pod = world.fetcher_pod("mconn-support")
    world.wait_downloaded("support", 1)
    (entry,) = world.entries("support")
    assert (entry.size, entry.sha256, entry.claims_hold) == (LARGE, wanted, True)
    assert world.mail.flags(user) == {1: {"\\seen"}}
    limits = json.loads(world.kubectl("get", "pod", pod, "-o", "json"))["spec"]["containers"][0]["resources"]["limits"]
    assert (limits["memory"], world.fetcher_pod("mconn-support"), world.restarts(pod)) == ("128Mi", pod, 0)
    world.forget("support")  # the other tests have use for the room in Redis


def test_purging_removes_all_that_redis_holds_of_a_connection(world: World) -> None:
    for name, user in (("gone", "user7@mail.test"), ("stays", "user8@mail.test")):
        world.mail.fill(user, [*mails(10, seed=7), large_mail(1 << 20)])
        world.connection(name, user=user, deletionPolicy="Purge" if name == "gone" else "Retain")
        world.annotate(name, enable="true")
    for name in ("gone", "stays"):
        world.wait_downloaded(name, 11)
    assert world.get("gone")["metadata"]["finalizers"] == ["mailfetch.dev/purge"]
    assert "finalizers" not in world.get("stays")["metadata"]
    assert len(world.keys("gone")) > 5
    world.kubectl("delete", "mailconnection", "gone", "--wait=false")
    _wait_until_gone(world, "gone")
    assert world.keys("gone") == []
    _wait_for_event(world, "Purged")
    jobs = json.loads(world.kubectl("get", "jobs", "-l", "mailfetch.dev/connection=gone", "-o", "json"))["items"]
    assert any(
        job["status"].get("succeeded") == 1 for job in jobs
    )  # a try before may have met the fetcher's last lease

    world.kubectl("delete", "mailconnection", "stays", "--timeout=60s")
    assert len(world.entries("stays")) == 11


def _wait_until_gone(world: World, name: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while found := world.kubectl("get", "mailconnection", name, "--ignore-not-found", "-o", "yaml"):
        assert time.monotonic() < deadline, f"{found}\n{world.explain()}"
        time.sleep(0.3)


def _wait_for_event(world: World, reason: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not world.kubectl("get", "events", f"--field-selector=reason={reason}", "-o", "name"):
        assert time.monotonic() < deadline, f"no event {reason}:\n{world.explain()}"
        time.sleep(0.3)
