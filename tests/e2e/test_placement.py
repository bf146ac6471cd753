"""Pools, dedicated fetchers, actions and live changes on the cluster."""

import json

import pytest

from tests.e2e.world import World
from tests.servers.mailgen import mails

pytestmark = [pytest.mark.node, pytest.mark.timeout(900)]


def test_pools_share_a_fetcher_and_dedicated_connections_have_their_own(world: World) -> None:
    for n in (22, 23, 24, 25):
        world.mail.fill(f"user{n}@mail.test", mails(2))
    world.connection("a", user="user22@mail.test")
    world.connection("b", user="user23@mail.test")
    world.connection("c", user="user24@mail.test", placement={"pool": "vip"})
    resources = {"limits": {"memory": "256Mi"}}
    world.connection("d", user="user25@mail.test", placement={"mode": "Dedicated", "resources": resources})
    for name in "abcd":
        world.annotate(name, enable="true")
    for name in "abcd":
        world.wait_downloaded(name, 2)
    deployments = set(world.kubectl("get", "deployments", "-o", "name").split())
    names = {"mailfetch-pool-default", "mailfetch-pool-vip", "mconn-d"}
    assert deployments == {f"deployment.apps/{name}" for name in names}
    assert {world.status(name)["placement"]["fetcher"] for name in "abcd"} == names
    pod = json.loads(world.kubectl("get", "pod", world.fetcher_pod("mconn-d"), "-o", "json"))
    assert pod["spec"]["containers"][0]["resources"]["limits"]["memory"] == "256Mi"
    assert pod["spec"]["automountServiceAccountToken"] is False
    mounts = pod["spec"]["containers"][0]["volumeMounts"]
    assert not [m for m in mounts if "serviceaccount" in m["mountPath"]]

    world.annotate("c", enable="false")
    world.wait_ready("c", "Disabled")
    world.cluster.kubectl(
        "-n", world.namespace, "wait", "--for=delete", "deployment/mailfetch-pool-vip", "--timeout=120s"
    )


def test_move_and_delete_empty_the_folder_and_leave_what_is_not_ours(world: World) -> None:
    moved, deleted = "user26@mail.test", "user27@mail.test"
    world.mail.create_folder(moved, "Erledigt/Köln")
    for user in (moved, deleted):
        world.mail.fill(user, mails(30))
    world.connection("moved", user=moved, afterDownload={"action": "Move", "folder": "Erledigt/Köln"})
    world.connection("deleted", user=deleted, afterDownload={"action": "Delete"})
    for name in ("moved", "deleted"):
        world.annotate(name, enable="true")
        world.wait_downloaded(name, 30)
    assert world.mail.flags(moved) == world.mail.flags(deleted) == {}
    assert len(world.mail.flags(moved, folder="Erledigt/Köln")) == 30
    for name in ("moved", "deleted"):
        assert world.redis().xlen(world.stream(name)) == 30


def test_suspend_and_resume_continue_where_it_stopped(world: World) -> None:
    user = "user28@mail.test"
    world.mail.fill(user, mails(5))
    world.connection("support", user=user)
    world.annotate("support", enable="true")
    world.wait_downloaded("support", 5)
    world.connection("support", user=user, suspend=True)
    world.wait_ready("support", "Suspended")
    world.mail.fill(user, mails(5, start=5))
    world.connection("support", user=user, suspend=False)
    world.wait_downloaded("support", 10)
    verdict = world.judge("support", user=user)
    assert verdict.ok, verdict
