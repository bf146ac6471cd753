"""Queue and log as people see them: `kubectl mailfetch queue` and so on, through the tools pod of the namespace."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mailfetch_fetcher.contract import mounts
from tests.cluster.base import Cluster
from tests.cluster.processes import REPOSITORY
from tests.cluster.tools import onenode_folder
from tests.e2e.world import DEADLINE, RELEASE, SYSTEM, TOOLS_POD, World
from tests.servers.dovecot import Dovecot
from tests.servers.mailgen import mails

pytestmark = [pytest.mark.node, pytest.mark.timeout(900)]

Done = subprocess.CompletedProcess[str]
END_DELIVERY = (REPOSITORY / "examples/end_delivery.lua").read_text()


@pytest.fixture
def bare(installed: Cluster, mail: Dovecot) -> Iterator[World]:
    """A namespace that has no Secret for Redis yet."""
    world = World(cluster=installed, mail=mail)
    world.start(with_redis=False)
    yield world
    world.stop()


def plugin(world: World, *args: str, kubeconfig: Path | None = None) -> Done:
    """`kubectl mailfetch …` as a person types it: kubectl finds the plugin on the PATH, and the plugin kubectl."""
    path = f"{onenode_folder()}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "KUBECONFIG": str(kubeconfig or world.cluster.kubeconfig)}
    argv = ["kubectl", "mailfetch", *args, "-n", world.namespace]
    return subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def shown(world: World, *args: str) -> str:
    """What the plugin prints."""
    done = plugin(world, *args)
    assert done.returncode == 0, f"{args}: {done.stderr}\n{world.explain()}"
    return done.stdout


def states(world: World, *args: str) -> dict[str, str]:
    """Subject → state of the queue's mails."""
    answer = json.loads(shown(world, "queue", *args, "-o", "json"))
    return {row["subject"]: row["state"] for row in answer["entries"]}


def until_tools_answer(world: World) -> None:
    deadline = time.monotonic() + DEADLINE
    while (done := plugin(world, "queue")).returncode != 0:
        assert time.monotonic() < deadline, f"{done.stderr}\n{world.explain()}"
        time.sleep(1)


def test_the_way_of_mails_through_queue_and_log(world: World) -> None:
    user = "user30@mail.test"
    world.connection("support", user=user, queue={"consumerGroups": ["tickets"]})
    for name in ("first", "second", "third"):
        message = f"From: Ann <ann@example.com>\r\nSubject: {name}\r\nMessage-ID: <{name}@example.com>\r\n\r\nHello\r\n"
        world.mail.deliver(user, message.encode())
    world.annotate("support", enable="true")
    world.wait_downloaded("support", 3)
    until_tools_answer(world)

    table = shown(world, "queue").splitlines()
    assert table[0].split() == ["STATE", "FROM", "SUBJECT", "WHEN", "CONNECTION", "ID"]
    assert [row.split()[0] for row in table[1:]] == ["New"] * 3
    assert "3 not delivered yet" in shown(world, "status", "support")

    # A consumer takes two: it does not want the one, and works on the other.
    client, stream = world.redis(), world.stream("support")
    keys = [stream, stream.replace(":queue", ":marks"), stream.replace(":queue", ":log")]
    ((_, taken),) = client.xreadgroup("tickets", "worker-1", {stream: ">"}, count=2)
    refused = taken[0][0].decode()
    client.eval(END_DELIVERY, 3, *keys, "tickets", "worker-1", refused, "Filtered", "a newsletter")
    assert sorted(states(world).values()) == ["Filtered", "New", "Processing"]
    page = shown(world, "show", refused)
    assert "Filtered" in page
    assert "a newsletter" in page
    assert "1 not delivered yet, 1 delivered and not acknowledged" in shown(world, "status", "support")

    log = shown(world, "log", "support", "--category", "filter", "-o", "wide").splitlines()
    assert len(log) == 2, log
    assert "a newsletter" in log[1]
    assert "Download" in shown(world, "log", "support")

    # It comes again, with another id, and what is left of the first can be purged.
    again = shown(world, "requeue", refused)
    assert again.startswith("Requeued ")
    assert "New" in states(world).values()
    (copy,) = re.findall(r" as (\S+) ", again)
    assert "removed" in shown(world, "purge", copy, "--dry-run")
    assert "Removed 1 mail." in shown(world, "purge", copy, "--yes")
    assert plugin(world, "show", copy).returncode == 3
    assert shown(world, "show", "<third@example.com>", "--raw").replace("\r\n", "\n").endswith("\n\nHello\n")


def test_no_mailbox_password_is_in_the_pod(world: World) -> None:
    world.connection("support", user="user31@mail.test")
    until_tools_answer(world)
    look = (
        "import os, pathlib, sys\n"
        "for root in ('/etc/mailfetch', '/var/run/secrets', '/run/secrets', '/tmp', '/home'):\n"
        "    for path in pathlib.Path(root).rglob('*'):\n"
        "        if path.is_file():\n"
        "            print(path, sys.argv[1].encode() in path.read_bytes())\n"
        "print('environment', sys.argv[1] in str(os.environ))\n"
    )
    password = world.mail.password("user31@mail.test")
    python = ("exec", TOOLS_POD, "-c", "tools", "--", "python", "-c", look, password)
    found = dict(line.rsplit(maxsplit=1) for line in world.kubectl(*python).splitlines())
    assert set(found.values()) == {"False"}
    files = {name for name in found if "/..2" not in name}  # the kubelet's own folders behind the links
    assert files == {f"{mounts.REDIS_MOUNT}/url", "environment"}


def test_who_has_only_the_role_for_mail_sees_mail_and_no_secret(world: World, tmp_path: Path) -> None:
    user = "user32@mail.test"
    world.mail.fill(user, mails(1))
    world.connection("support", user=user)
    world.annotate("support", enable="true")
    world.wait_downloaded("support", 1)
    until_tools_answer(world)
    fetcher = world.fetcher_pod()
    kubeconfig = reader(world, tmp_path)
    seen = plugin(world, "queue", kubeconfig=kubeconfig)
    assert seen.returncode == 0, seen.stderr
    assert len(seen.stdout.splitlines()) == 2

    def refused(*args: str) -> bool:
        own = ("--kubeconfig", str(kubeconfig), "-n", world.namespace)
        done = world.cluster.kubectl(*own, *args, check=False)
        return done.returncode != 0 and "orbidden" in done.stderr

    assert refused("exec", fetcher, "--", "cat", "/etc/mailfetch/secrets/support-mailbox/password")
    assert refused("get", "secret", "support-mailbox")
    assert refused("get", "secrets")
    assert refused("cp", f"{fetcher}:/etc/mailfetch/secrets", str(tmp_path / "stolen"))


def test_without_the_secret_of_redis_the_pod_waits_and_says_what_is_missing(bare: World) -> None:
    bare.connection("support", user="user33@mail.test")
    bare.cluster.kubectl("-n", bare.namespace, "wait", "--for=create", f"pod/{TOOLS_POD}", f"--timeout={DEADLINE:.0f}s")
    bare.kubectl("wait", "--for=condition=Ready", f"pod/{TOOLS_POD}", f"--timeout={DEADLINE:.0f}s")
    missing = plugin(bare, "queue")
    assert missing.returncode == 1
    assert mounts.REDIS_SECRET in missing.stderr
    bare.copy_redis_secret()
    until_tools_answer(bare)
    assert bare.restarts(TOOLS_POD) == 0


def test_the_pod_goes_with_the_last_connection(world: World) -> None:
    world.connection("support", user="user34@mail.test")
    until_tools_answer(world)
    world.kubectl("delete", "mailconnection", "support")
    world.kubectl("wait", "--for=delete", f"pod/{TOOLS_POD}", f"--timeout={DEADLINE:.0f}s")
    gone = plugin(world, "queue")
    assert gone.returncode == 3
    assert "there is no MailConnection" in gone.stderr


def reader(world: World, folder: Path) -> Path:
    """The kubeconfig of a user who has the chart's role for mail in this namespace, and no other."""
    account = f"--serviceaccount={world.namespace}:reader"
    world.kubectl("create", "serviceaccount", "reader")
    world.kubectl("create", "rolebinding", "reader", f"--clusterrole={SYSTEM}-{RELEASE}-mail", account)
    config = yaml.safe_load(world.cluster.kubeconfig.read_text())
    token = world.kubectl("create", "token", "reader").strip()
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    found = folder / "reader.kubeconfig"
    found.write_text(yaml.safe_dump(config))
    return found
