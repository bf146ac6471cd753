"""The whole story of a mailbox as a person lives it, typed on a terminal; golden/story.txt is what they see."""

import os
import re
import secrets
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from string import Template

import pytest
from rich.cells import cell_len

from tests.cluster.base import Cluster
from tests.cluster.processes import REPOSITORY
from tests.cluster.tools import onenode_folder
from tests.e2e.terminal import COLUMNS, Terminal
from tests.e2e.test_tools import until_tools_answer
from tests.e2e.transcript import Transcript, compare
from tests.e2e.world import Object, World, redis_url
from tests.servers.certs import make_certificates
from tests.servers.dovecot import Dovecot
from tests.servers.mailgen import mails
from tests.servers.proxy import FaultProxy

pytestmark = [pytest.mark.node, pytest.mark.timeout(1200)]

NUMBERED = {
    "entry": r"\b\d{13}-\d+\b",
    "mail": r"\b[0-9a-f]{32}(?:~[0-9a-f]{8})?\b",
}
"""Names that the product makes: kind → pattern."""
GOLDEN = Path(__file__).parent / "golden"
BACKLOG = 1_234
USER = "support@example.com"
SLOW = 0.3
"""Seconds that each piece of data waits, so that a person has the time to look at the download."""
CONSUME = "python examples/consumer.py $REDIS_URL --stream {}/support --group tickets --consumer worker-1 --once"
PROGRESS = (
    (
        r"\[[#.]{30}\] +\d+%  [\d,]+ of 1,234, \d+ a second(, done in about \w+)?",
        "[<bar>]  <n> of 1,234, <rate and end>",
    ),
    (r"[\d,]+ (downloaded|at the server)", r"<n> \1"),
    (r"(never|<age> ago \(<time>\))$", "<age> ago (<time>)"),
    (r"(Done: No action is waiting\.|Pending: .*)$", "<actions>"),
)
"""What changes on the page while it downloads, and what stands for it."""
QUESTION = b"""\
From: Ann Example <ann@example.com>\r
To: support@example.com\r
Subject: Where is my parcel?\r
Date: Tue, 03 Feb 2026 09:12:00 +0100\r
Message-ID: <parcel@example.com>\r
\r
It should have come on Monday.\r
"""
NEWSLETTER = b"""\
From: =?utf-8?q?Caf=C3=A9_Z=C3=BCrich?= <news@cafe.example>\r
To: support@example.com\r
Subject: Our coffee of the month\r
Date: Tue, 03 Feb 2026 09:13:00 +0100\r
Message-ID: <coffee.2@cafe.example>\r
Precedence: bulk\r
\r
From Ethiopia.\r
"""


class Desk:
    """What the test arranges for the person: a namespace, a mailbox behind a link that can be slow, a terminal."""

    def __init__(self, world: World, link: FaultProxy, folder: Path) -> None:
        self.world, self.link, self.folder = world, link, folder
        self._publish()
        manifest = Template((GOLDEN / "support.yaml").read_text())
        values = {"host": f"imap.{world.namespace}.svc", "user": USER, "password": world.mail.password(USER)}
        (folder / "support.yaml").write_text(manifest.substitute(values))
        (folder / "examples").symlink_to(REPOSITORY / "examples")
        path = f"{onenode_folder()}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        env = {"PATH": path, "KUBECONFIG": str(self._kubeconfig()), "REDIS_URL": redis_url(world.cluster)}
        self.terminal = Terminal(folder=folder, env=env)

    def _publish(self) -> None:
        """The mail server gets a name, and the usual port."""
        port = {"name": "imaps", "protocol": "TCP"}
        metadata = {"name": "imap", "namespace": self.world.namespace}
        service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata}
        self.world.apply({**service, "spec": {"ports": [{**port, "port": 993}]}})
        slice_ = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4"}
        where = {
            "ports": [{**port, "port": self.link.port}],
            "endpoints": [{"addresses": [self.world.cluster.host_ip]}],
        }
        self.world.apply(
            {**slice_, "metadata": {**metadata, "labels": {"kubernetes.io/service-name": "imap"}}, **where}
        )

    def _kubeconfig(self) -> Path:
        """Its context has the test's namespace, so that no command must name it."""
        own = self.folder / "kubeconfig"
        own.touch(mode=0o600)
        own.write_bytes(self.world.cluster.kubeconfig.read_bytes())
        here = ("config", "set-context", "--current", f"--namespace={self.world.namespace}")
        self.world.cluster.kubectl("--kubeconfig", str(own), *here)
        return own

    def deliver(self, raw: bytes) -> None:
        """A new mail; returns when it was downloaded, so that the order in the log is certain."""
        count = self.world.redis().xlen(self.world.stream("support"))
        self.world.mail.deliver(USER, raw)
        self.world.wait_downloaded("support", count + 1)

    def until_idle(self) -> None:
        """The status says so in all its parts."""

        def idle(status: Object) -> bool:
            told = {c["type"]: c["reason"] for c in status["conditions"]}
            caught_up = status["fetch"].get("messages") == BACKLOG and status["fetch"].get("lag") == 0
            return caught_up and (told["Ready"], told["AfterDownload"]) == ("Idle", "Done") and "progress" not in status

        self.world.wait_downloaded("support", BACKLOG)
        self.world.wait("support", idle, "all downloaded")

    def transcript(self) -> str:
        known = {self.world.namespace: "helpdesk"}
        return Transcript(known=known, numbered=NUMBERED).text(self.terminal.screens)


@pytest.fixture
def desk(installed: Cluster, tmp_path: Path) -> Iterator[Desk]:
    namespace = f"helpdesk-{secrets.token_hex(2)}"
    certificates = make_certificates(tmp_path / "certificates", hosts=(f"DNS:imap.{namespace}.svc",))
    with ExitStack() as stack:
        mail = stack.enter_context(Dovecot(certificates))
        mail.add_user(USER, "a-secret")
        link = stack.enter_context(FaultProxy(mail.imaps_port, listen=installed.host_ip))
        world = World(cluster=installed, mail=mail, namespace=namespace).start()
        stack.callback(world.stop)
        yield Desk(world, link, tmp_path)


def test_the_whole_story(desk: Desk) -> None:
    desk.world.mail.fill(USER, islice((m for m in mails(2 * BACKLOG) if b"Precedence: bulk" not in m), BACKLOG))
    create_and_look(desk)
    enable(desk)
    download(desk)
    new_mail(desk)
    compare(GOLDEN / "story.txt", desk.transcript())
    assert max(cell_len(line.rstrip()) for one in desk.terminal.screens for line in one.text.splitlines()) <= COLUMNS


def create_and_look(desk: Desk) -> None:
    type_ = desk.terminal.type
    type_("kubectl apply -f support.yaml")
    desk.world.wait_ready("support", "Disabled")
    until_tools_answer(desk.world)
    type_("kubectl mailfetch list")
    type_("kubectl mailfetch test support --wait")
    type_("kubectl mailfetch estimate support")


def enable(desk: Desk) -> None:
    """The person hesitates, then enables it without an acknowledgement, and reads on the page how to give it."""
    type_ = desk.terminal.type
    type_("kubectl mailfetch enable support", "n", code=5)
    assert "mailfetch.dev/enable" not in desk.world.get("support")["metadata"]["annotations"]
    type_("kubectl annotate mconn support mailfetch.dev/enable=true")
    desk.world.wait_ready("support", "AwaitingApproval")
    page = type_("kubectl mailfetch status support")
    assert desk.world.redis().xlen(desk.world.stream("support")) == 0
    (acknowledge,) = re.findall(r"^ +(kubectl annotate mconn .*acknowledge=.*)$", page, re.MULTILINE)
    assert acknowledge.endswith(f"={BACKLOG}")
    desk.link.delay = SLOW
    type_(acknowledge)


def download(desk: Desk) -> None:
    """The link is slow until the person has seen the progress."""
    type_ = desk.terminal.type
    desk.world.wait("support", lambda status: status.get("progress"), "progress")
    page = type_("kubectl mailfetch status support --no-consumers", masks=PROGRESS)
    done, lag = (int(number.replace(",", "")) for number in re.findall(r"([\d,]+) (?:downloaded|at the server)", page))
    assert 0 < done < BACKLOG
    assert done + lag == BACKLOG
    desk.link.delay = 0.0
    desk.until_idle()
    assert all("\\seen" in flags for flags in desk.world.mail.flags(USER).values())
    type_("kubectl mailfetch list")
    type_("kubectl mailfetch status support")


def new_mail(desk: Desk) -> None:
    """The consumer has dealt with the backlog when two more mails come; one of them it does not want."""
    type_, consume = desk.terminal.type, CONSUME.format(desk.world.namespace)
    type_(consume)
    desk.deliver(QUESTION)
    desk.deliver(NEWSLETTER)
    type_("kubectl mailfetch queue support")
    type_(consume)
    queue = type_("kubectl mailfetch queue support")
    type_("kubectl mailfetch log support --limit 8")
    type_("kubectl mailfetch show '<parcel@example.com>'")
    (refused,) = re.findall(r"\b\d{13}-\d+\b", queue)
    type_(f"kubectl mailfetch show {refused}")
    type_(f"kubectl mailfetch requeue {refused}")
    type_("kubectl mailfetch queue support")
    with sqlite3.connect(desk.folder / "mails.sqlite3") as kept:
        assert kept.execute("SELECT count(*) FROM mails").fetchone() == (BACKLOG + 1,)
