"""helm test, upgrade and uninstall on a real cluster: everything goes on, no mail is lost or doubled."""

import json

import pytest

from tests.e2e import world as worlds
from tests.e2e.world import World
from tests.servers.mailgen import mails

pytestmark = [pytest.mark.node, pytest.mark.timeout(900)]


def test_helm_test_upgrade_uninstall_and_install_again(world: World) -> None:
    user = "user29@mail.test"
    world.mail.fill(user, mails(20))
    world.connection("support", user=user)
    world.annotate("support", enable="true")
    world.wait_downloaded("support", 20)
    assert "Succeeded" in world.cluster.helm("test", worlds.RELEASE, "-n", worlds.SYSTEM).stdout

    worlds.install(world.cluster, "fetcher.resources.limits.memory=384Mi", upgrade=True)
    world.mail.fill(user, mails(20, start=20))
    world.wait_downloaded("support", 40)

    world.cluster.helm("uninstall", worlds.RELEASE, "-n", worlds.SYSTEM, "--wait")
    try:
        assert world.condition("support", "Ready")["reason"] == "Idle"
        claims = world.cluster.kubectl("-n", worlds.SYSTEM, "get", "pvc", "-o", "json").stdout
        assert json.loads(claims)["items"]
        world.mail.fill(user, mails(20, start=40))
    finally:
        worlds.install(world.cluster)
    world.wait_downloaded("support", 60)
    verdict = world.judge("support", user=user)
    assert verdict.ok, verdict
    assert verdict.entries == 60


def test_the_operator_cannot_read_secrets(world: World) -> None:
    account = f"system:serviceaccount:{worlds.SYSTEM}:{worlds.RELEASE}-operator"
    rules = world.cluster.kubectl("auth", "can-i", "--list", f"--as={account}", "-n", world.namespace).stdout
    assert "mailconnections.mailfetch.dev" in rules, rules
    for verb in ("get", "list", "watch", "create", "patch", "delete"):
        answer = world.cluster.kubectl("auth", "can-i", verb, "secrets", f"--as={account}", "-A", check=False).stdout
        assert answer.strip() == "no", (verb, answer)
    answer = world.cluster.kubectl("auth", "can-i", "create", "pods/exec", f"--as={account}", "-A", check=False).stdout
    assert answer.strip() == "no"
