"""OAuth2 on the cluster: a person authorizes, mails flow, the right ends, a person authorizes again. No secret is told.

Dovecot and the doubles stand behind the real names of Microsoft, for the pods and for the plugin.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe
from urllib.parse import urlsplit

import pytest

from tests.cluster.base import Cluster
from tests.e2e import world as worlds
from tests.e2e.leftovers import Leftovers
from tests.e2e.naming import named
from tests.e2e.world import World
from tests.integration.plugin.authorizing import Authorizing
from tests.servers import checker, leaks
from tests.servers.authority import Authority
from tests.servers.authority_model import TENANT
from tests.servers.certs import Certificates
from tests.servers.dovecot import Dovecot
from tests.servers.dovecot_oauth2 import OAuth2
from tests.servers.graph import GraphFake
from tests.servers.mailgen import mails
from tests.servers.proxy import FaultProxy
from tests.servers.resolve import Addresses, resolve

pytestmark = [pytest.mark.node, pytest.mark.timeout(900)]

AUTHORITY, GRAPH, EXCHANGE = "login.microsoftonline.com", "graph.microsoft.com", "outlook.office365.com"
USERS = {name: f"{name}@contoso.com" for name in ("office", "sales", "desk", "post")}
"""By connection."""
PROTOCOLS = {"office": "IMAP", "sales": "MicrosoftGraph", "desk": "POP3"}
"""Of those that a person authorizes; the other one has a password."""
CLIENTS = {"office": "m365-client", "sales": "m365-client", "desk": "m365-public"}
"""The Secrets. The public client is for those who sign in on another machine."""
KNOWN = {
    "the events": b"AuthorizationRequired",
    "the objects": b"kubectl mailfetch authorize sales -n",
    "the log of operator": b"office",
    "the log of probe": b"sales",
    "the log of fetcher": b"AuthorizationRequired",
    "the log of redis": b"Ready to accept connections",
    "the processes of operator": b"mailfetch-operator",
    "the processes of fetcher": b"mailfetch-fetcher\0run",
    "the processes of redis": b"valkey-server",
    "the processes of the plugin": b"kubectl-mailfetch\0authorize\0sales",
    "the metrics of operator": b"mailfetch_connections",
    "the metrics of fetcher": b"mailfetch_token_expiry_timestamp_seconds{",
    "the report of fetcher": b'"office"',
    "the plugin": b"Signed in as sales@contoso.com",
    "Redis": b":conn:office:token",
}
"""Where secrets are looked for at least, and what stands there when the place was really read."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The namespace, the tenant with its mailboxes, and what was left behind until now."""

    world: World
    authority: Authority
    graph: GraphFake
    addresses: Addresses
    client_secret: str
    left: Leftovers

    def connect(self) -> None:
        """Three connections to authorize, two of which share a client, and one with a password; all are enabled."""
        confidential = {"client-id": "app", "client-secret": self.client_secret, "tenant-id": TENANT}
        self.world.secret("m365-client", confidential)
        self.world.secret("m365-public", {"client-id": "public", "tenant-id": TENANT})
        for name, protocol in PROTOCOLS.items():
            oauth2 = {"clientSecretRef": {"name": CLIENTS[name]}, "tokenSecretRef": {"name": f"{name}-token"}}
            auth = {"type": "MicrosoftOAuth2", "username": USERS[name], "oauth2": oauth2}
            self.world.connection(name, secret=False, protocol=protocol, auth=auth, server=None)
        self.world.connection("post", user=USERS["post"])
        for name in USERS:
            self.world.annotate(name, enable="true")

    def fill(self, start: int, count: int) -> None:
        """New mails for all, different ones."""
        for seed, (name, user) in enumerate(USERS.items()):
            for raw in mails(count, seed=seed, start=start):
                if PROTOCOLS.get(name) == "MicrosoftGraph":
                    self.graph.mailbox(user).deliver(raw)
                else:
                    self.world.mail.deliver(user, raw)

    def command(self, name: str, wanted: str) -> str:
        """What the connection tells people to run, once it wants an authorization."""
        ready = self.world.wait(
            name,
            lambda status: any(wanted in c["message"] for c in status.get("conditions", []) if c["type"] == "Ready"),
            wanted,
        )
        assert (ready["status"], ready["reason"]) == ("False", "AuthorizationRequired")
        found = re.search(r"kubectl mailfetch authorize .*", ready["message"])
        assert found, ready["message"]
        assert found[0] == f"kubectl mailfetch authorize {name} -n {self.world.namespace}"
        return found[0]

    def authorize(self, command: str) -> None:
        """Runs it as a person does who then signs in, in this machine's browser or on another machine."""
        _, _, _, *args = command.split()
        name = args[0]
        self.authority.sign_in_as = USERS[name]
        device = CLIENTS[name] == "m365-public"
        more = ["--device"] if device else []
        ca, kubeconfig = self.world.mail.certificates.ca, self.world.cluster.kubeconfig
        with Authorizing(*args, *more, kubeconfig=kubeconfig, ca=ca, addresses=self.addresses) as running:
            told = running.line("Open https://microsoft.com/devicelogin") if device else running.address()
            self.look_at(running)
            if device:
                self.authority.enter_code(told.partition("enter ")[2].split()[0], USERS[name])
            else:
                self.left.add("the plugin", running.visit(told).content)
            assert running.end() == 0, running.output
        self.left.add("the plugin", running.output.encode())

    def look_at(self, running: Authorizing) -> None:
        """Arguments and environment of the plugin, which anybody of this user may read."""
        for file in ("cmdline", "environ"):
            self.left.add("the processes of the plugin", Path(f"/proc/{running.process.pid}/{file}").read_bytes())

    def end_rights(self) -> None:
        """What follows a changed password: no token of these accounts is good for anything any more."""
        for name in PROTOCOLS:
            self.authority.revoke(USERS[name])
            self.authority.revoke_tokens(USERS[name])
        self.world.mail.doveadm("kick", USERS["office"])

    def fetcher(self) -> tuple[str, int]:
        """Which pod runs, and how often its container was started anew."""
        pod = json.loads(self.world.kubectl("get", "pod", self.world.fetcher_pod(), "-o", "json"))
        return pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"]

    def judge(self, name: str) -> checker.Verdict:
        """The independent checker's verdict; by contents where the stream names no UIDs of IMAP."""
        protocol, user = PROTOCOLS.get(name), USERS[name]
        if protocol == "MicrosoftGraph":
            mailbox = self.graph.mailbox(user)
            assert all(mailbox.is_read(id_) for id_ in mailbox.ids())
            originals = {
                number: checker.Original(sha256=hashlib.sha256(raw).hexdigest(), size=len(raw), flags=frozenset())
                for number, raw in enumerate(mailbox.raw(id_) for id_ in mailbox.ids())
            }
        elif protocol == "POP3":
            originals = checker.read_mailbox(self.world.mailbox(user))
        else:
            return self.world.judge(name, user=user)
        return checker.compare_contents(originals, self.world.entries(name))

    def secrets(self) -> Mapping[str, str]:
        """Everything that nobody may read, by what it is called."""
        redis = urlsplit(worlds.redis_url(self.world.cluster)).password
        assert redis
        given = self.authority
        kinds = (given.codes, given.devices, given.refreshes, given.tokens)
        assert all(kind and kind.keys() <= set(given.issued) for kind in kinds)
        return {
            "the client's secret": self.client_secret,
            "the mailbox's password": self.world.mail.password(USERS["post"]),
            "Redis' password": redis,
            **{f"secret {number} of the authority": text for number, text in enumerate(given.issued)},
        }


@pytest.fixture
def scene(installed: Cluster, certificates: Certificates) -> Iterator[Scene]:
    client_secret = f"8Q~{token_urlsafe(28)}"
    with (
        Authority(certificates) as authority,
        GraphFake(certificates=certificates, check=authority.look_up) as graph,
        Dovecot(
            certificates,
            listen=f"127.0.0.1,{installed.host_ip}",
            oauth2=OAuth2(introspection=authority.introspection(EXCHANGE)),
        ) as exchange,
        FaultProxy(authority.port, listen=installed.host_ip) as authority_door,
        FaultProxy(graph.port, listen=installed.host_ip) as graph_door,
    ):
        authority.register_client("app", secret=client_secret)
        authority.register_client("public")
        for name, user in USERS.items():
            exchange.add_user(user, token_urlsafe(16))  # for the judge, and for the connection with a password
            if name in PROTOCOLS:
                authority.account(user)
        graph.mailbox(USERS["sales"])
        mailboxes = {(EXCHANGE, 993): exchange.imaps_port, (EXCHANGE, 995): exchange.pop3s_port}
        doors = {(AUTHORITY, 443): authority_door.port, (GRAPH, 443): graph_door.port, **mailboxes}
        addresses = {**authority.addresses, (GRAPH, 443): graph.port, **mailboxes}
        world = World(cluster=installed, mail=exchange)
        for started in worlds.opened(world):
            with named(started, doors), resolve(addresses):
                yield Scene(
                    world=started,
                    authority=authority,
                    graph=graph,
                    addresses=addresses,
                    client_secret=client_secret,
                    left=Leftovers(started),
                )


def test_authorized_then_revoked_then_authorized_again_and_no_secret_told(scene: Scene) -> None:
    world = scene.world
    scene.fill(0, 3)
    scene.connect()
    commands = [scene.command(name, "nobody has authorized") for name in PROTOCOLS]
    scene.left.gather()
    for command in commands:
        scene.authorize(command)
    for name in USERS:
        world.wait_downloaded(name, 3)
        world.wait_ready(name, "Idle")
    before = scene.fetcher()
    scene.left.gather()

    scene.end_rights()
    scene.fill(3, 2)
    commands = [scene.command(name, "authorize again") for name in PROTOCOLS]
    told = world.kubectl("get", "events", "--field-selector=reason=AuthorizationRequired", "-o", "yaml")
    assert all(command in told for command in commands), told
    world.wait_downloaded("post", 5)  # another mailbox of the same fetcher is none the worse for it
    scene.left.gather()

    for command in commands:
        scene.authorize(command)
    for name in USERS:
        world.wait_downloaded(name, 5)
        world.wait_ready(name, "Idle")
        verdict = scene.judge(name)
        assert verdict.ok, (name, verdict)
    assert before[1] == 0
    assert scene.fetcher() == before
    scene.left.gather()
    assert_no_secret_told(scene)


def assert_no_secret_told(scene: Scene) -> None:
    """Looks for every secret of the run in everything that it left; and in the Secrets, where they are to be found."""
    places, secrets = scene.left.places, scene.secrets()
    assert [place for place, word in KNOWN.items() if word not in places.get(place, b"")] == []
    hidden = scene.world.kubectl("get", "secrets", "-o", "json").encode()
    found = leaks.find(secrets, {"the Secrets": hidden})
    assert len(found) == 3 + len(PROTOCOLS), found  # the last refresh tokens, the client's, the mailbox's, Redis'
    assert leaks.find(secrets, places) == []
