"""Every failure gives its own reason and remedy on the resource, and recovers by itself when the cause is gone."""

from collections.abc import Iterator

import pytest

from tests.cluster.base import Cluster
from tests.cluster.processes import free_ports
from tests.e2e.world import TOOLS_POD, World
from tests.servers.certs import Certificates
from tests.servers.dovecot import Dovecot
from tests.servers.mailgen import mails

pytestmark = [pytest.mark.node, pytest.mark.timeout(900)]

REMEDIES = {
    "wrong-password": ("AuthFailed", "wrong-password-mailbox"),
    "unknown-host": ("ConnectionFailed", "spec.server.host"),
    "refused-port": ("ConnectionFailed", "spec.server.port"),
    "expired": ("TLSFailed", "expired"),
    "unknown-ca": ("TLSFailed", "spec.tls.caSecretRef"),
    "missing-folder": ("FolderNotFound", "Nowhere"),
    "missing-secret": ("SecretNotFound", "create secret generic missing-secret-mailbox"),
}


@pytest.fixture
def expired(installed: Cluster, certificates: Certificates) -> Iterator[Dovecot]:
    server = Dovecot(certificates, listen=f"127.0.0.1,{installed.host_ip}")
    server.start(certificate="expired")
    yield server
    server.stop()


def test_each_cause_has_its_reason_and_recovers(world: World, expired: Dovecot) -> None:
    host, port = world.cluster.host_ip, world.mail.imaps_port
    (closed,) = free_ports(1)
    users = {name: f"user{n}@mail.test" for n, name in enumerate(REMEDIES, start=11)}
    for name, user in users.items():
        (expired if name == "expired" else world.mail).fill(user, mails(3))
    broken: dict[str, dict[str, object]] = {
        "unknown-host": {"server": {"host": "imap.nowhere.test"}},
        "refused-port": {"server": {"host": host, "port": closed}},
        "expired": {"server": {"host": host, "port": expired.imaps_port}},
        "unknown-ca": {"tls": {}},
        "missing-folder": {"folder": "Nowhere"},
    }
    for name, user in users.items():
        world.connection(name, user=user, secret=name != "missing-secret", **broken.get(name, {}))
    world.secret("wrong-password-mailbox", {"password": "wrong"})
    for name in users:
        world.annotate(name, enable="true")
    for name, (reason, remedy) in REMEDIES.items():
        ready = world.wait_ready(name, reason)
        assert ready["status"] == "False"
        assert remedy in ready["message"], (name, ready["message"])
        assert world.condition(name, "Active")["status"] == "False"
        assert world.condition(name, "ConnectionVerified")["status"] != "True"

    for name, user in users.items():  # the causes go away
        world.connection(name, user=user)
    expired.restart(certificate="server")
    server = {"host": host, "port": expired.imaps_port}
    world.connection("expired", user=users["expired"], server=server)
    assert port != expired.imaps_port
    for name in users:
        world.wait_downloaded(name, 3)
        world.wait_ready(name, "Idle")


def test_a_running_connection_tells_and_recovers(world: World) -> None:
    user = "user20@mail.test"
    good = world.mail.password(user)
    world.mail.fill(user, mails(2))
    world.connection("support", user=user)
    world.annotate("support", enable="true")
    world.wait_downloaded("support", 2)
    world.mail.add_user(user, "changed at the server")
    world.mail.doveadm("kick", user)
    ready = world.wait_ready("support", "AuthFailed")
    assert "support-mailbox" in ready["message"]
    assert good not in str(world.get("support"))
    world.mail.fill(user, mails(2, start=2))
    world.secret("support-mailbox", {"password": "changed at the server"})
    world.wait_downloaded("support", 4)
    world.mail.add_user(user, good)


def test_without_redis_nothing_is_fetched_and_the_command_is_told(installed: Cluster, mail: Dovecot) -> None:
    world = World(cluster=installed, mail=mail).start(with_redis=False)
    try:
        user = "user21@mail.test"
        mail.fill(user, mails(2))
        world.connection("support", user=user)
        world.annotate("support", enable="true")
        ready = world.wait_ready("support", "SecretNotFound")
        assert "create secret generic mailfetch-redis" in ready["message"]
        world.secret("mailfetch-redis", {"url": "redis://10.255.255.1:6379/0"})
        world.wait_ready("support", "StoreUnavailable")
        world.copy_redis_secret()
        world.wait_downloaded("support", 2)
    finally:
        world.stop()


def test_what_this_version_cannot_run_is_said_and_not_touched(world: World) -> None:
    world.connection("later", certificates=[{"secretName": "later-smime"}])
    world.annotate("later", enable="true", acknowledge="any")
    ready = world.wait_ready("later", "InvalidConfiguration")
    assert "not in this version" in ready["message"]
    assert set(world.pods()) <= {TOOLS_POD}
