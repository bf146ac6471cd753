"""The tools of the chaos run: requests and replies are told apart however they are cut, and the disk is recorded."""

import contextlib
import http.client
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest

from tests.chaos import cases, catalogue
from tests.chaos.durability import AOF, Disk
from tests.chaos.faultlist import STRIKES
from tests.chaos.framing import Http, Imap, Pop3, Resp, Unit
from tests.chaos.sealed import Seal
from tests.chaos.tap import Tap
from tests.chaos.trap import Trap
from tests.servers.certs import Certificates, make_certificates
from tests.servers.graph import GraphFake
from tests.servers.redis import RedisServer

IMAP_UP = b"M1 SELECT INBOX\r\nM2 UID FETCH 1:2 (BODY.PEEK[])\r\n"
IMAP_DOWN = (
    b"* OK hello\r\n* 2 EXISTS\r\nM1 OK done\r\n"
    b"* 1 FETCH (UID 1 BODY[] {8}\r\nab\r\ncd\r\n)\r\n* 2 FETCH (UID 2 BODY[] {0}\r\n FLAGS ())\r\nM2 OK\r\n"
)
POP3_UP = b"CAPA\r\nAUTH PLAIN\r\nAGE=\r\nUIDL\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n"
POP3_DOWN = b"+OK hello\r\n+OK\r\nUSER\r\n.\r\n+ \r\n+OK in\r\n+OK\r\n.\r\n"
POP3_DOWN += b"+OK\r\nSubject: x\r\n\r\n..\r\nb\r\n.\r\n-ERR no\r\n+OK\r\n"
HTTP_UP = b"GET /v1.0/me/messages/a%2B/$value HTTP/1.1\r\nHost: x\r\n\r\n"
HTTP_UP += b'PATCH /v1.0/me/messages/b HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\n\r\n{"isRead": true}\n'
HTTP_UP += b"DELETE /v1.0/me/messages/c HTTP/1.1\r\nHost: x\r\n\r\n"
HTTP_DOWN = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab\r\nc\r\n3\r\n\r\n\r\r\n0\r\n\r\n"
HTTP_DOWN += b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{}\r\nHTTP/1.1 204 No Content\r\nrequest-id: 1\r\n\r\n"
RESP_UP = b"*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n*2\r\n$3\r\nGET\r\n$5\r\na\r\nbc\r\n"
RESP_DOWN = b"$3\r\nx\r\n\r\n*2\r\n$-1\r\n*1\r\n:5\r\n"


def units(feed: Callable[[bytes], Iterator[Unit]], data: bytes, rng: random.Random) -> list[Unit]:
    """What comes of the bytes in pieces of any size."""
    found: list[Unit] = []
    while data:
        size = rng.randrange(1, 30)
        found += feed(data[:size])
        data = data[size:]
    return found


@pytest.mark.parametrize("seed", range(20))
def test_requests_and_replies_of_imap(seed: int) -> None:
    framing, rng = Imap(), random.Random(seed)
    up = units(framing.to_server, IMAP_UP, rng)
    down = units(framing.to_client, IMAP_DOWN, rng)
    assert [unit.about for unit in up] == [b"SELECT INBOX\r\n", b"UID FETCH 1:2 (BODY.PEEK[])\r\n"]
    assert [unit.side for unit in down] == ["part", "part", "reply", "part", "part", "reply"]
    assert down[2].about == b"SELECT INBOX\r\n"
    assert down[3].data.endswith(b"cd\r\n)\r\n")
    assert b"".join(unit.data for unit in (*up, *down)) == IMAP_UP + IMAP_DOWN


@pytest.mark.parametrize("seed", range(20))
def test_requests_and_replies_of_pop3(seed: int) -> None:
    framing, rng = Pop3(), random.Random(seed)
    lines = POP3_UP.splitlines(keepends=True)
    down: list[Unit] = []
    up: list[Unit] = []
    up += units(framing.to_server, b"".join(lines[:2]), rng)
    answers = POP3_DOWN.index(b"+ \r\n") + 4
    down += units(framing.to_client, POP3_DOWN[:answers], rng)
    up += units(framing.to_server, b"".join(lines[2:]), rng)
    down += units(framing.to_client, POP3_DOWN[answers:], rng)
    named = [unit.about.split()[0] for unit in down]
    assert named == [b"(greeting)", b"CAPA", b"AUTH", b"AUTH", b"UIDL", b"RETR", b"DELE", b"QUIT"]
    assert [unit.about for unit in up].count(b"(challenge)") == 1
    assert b"".join(unit.data for unit in down) == POP3_DOWN


@pytest.mark.parametrize("seed", range(20))
def test_requests_and_replies_of_http(seed: int) -> None:
    framing, rng = Http(), random.Random(seed)
    up = units(framing.to_server, HTTP_UP, rng)
    down = units(framing.to_client, HTTP_DOWN, rng)
    path = b"/v1.0/me/messages/"
    asked = [b"GET " + path + b"a%2B/$value", b"PATCH " + path + b"b", b"DELETE " + path + b"c"]
    assert [unit.about for unit in up] == [unit.about for unit in down] == asked
    assert up[1].data.endswith(b"true}\n")
    assert down[0].data.endswith(b"0\r\n\r\n")
    assert b"".join(unit.data for unit in (*up, *down)) == HTTP_UP + HTTP_DOWN


@pytest.mark.parametrize("seed", range(20))
def test_requests_and_replies_of_redis(seed: int) -> None:
    framing, rng = Resp(), random.Random(seed)
    up = units(framing.to_server, RESP_UP, rng)
    down = units(framing.to_client, RESP_DOWN, rng)
    assert len(up) == len(down) == 2
    assert down[1].about == up[1].data
    assert b"".join(unit.data for unit in down) == RESP_DOWN


def _cut(trap: Trap) -> None:
    assert trap.wait()
    trap.decide("cut")


HEADERS = {"Host": "graph.microsoft.com", "Authorization": "Bearer x"}


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def test_a_tap_opens_tls_and_the_double_carries_out_whole_requests_only(certificates: Certificates) -> None:
    with GraphFake(certificates=certificates, check=lambda _: None) as graph:
        trap = Trap()
        seal = Seal(certificates=certificates, host="localhost")
        tap = Tap(graph.port, via="mail", framing=Http, trap=trap, record="^PATCH", seal=seal)

        def ask(method: str) -> bytes:
            context = ssl.create_default_context(cafile=str(certificates.ca))
            connection = http.client.HTTPSConnection("localhost", tap.port, context=context, timeout=30)
            with contextlib.closing(connection):
                connection.request(method, "/v1.0/me", body=b"{}", headers=HEADERS)
                return connection.getresponse().read()

        assert b"InvalidAuthenticationToken" in ask("GET")
        trap.set(catalogue.step("mail > PATCH half"))
        threading.Thread(target=_cut, args=(trap,), daemon=True).start()
        with pytest.raises((OSError, http.client.RemoteDisconnected)):
            ask("PATCH")
        assert trap.hits == 1
        assert [sent.about for sent in tap.sent] == [b"PATCH /v1.0/me"]
        assert [seen.method for seen in graph.requests] == ["GET"]
        tap.close()


def test_a_trap_counts_and_leads_on() -> None:
    trap = Trap()
    trap.set(catalogue.step("redis > COMMIT#2 after", then="pass"), catalogue.step("mail < SELECT before"))
    commit = Unit(side="request", about=b"EVAL 'NOBLOB'", data=b"")
    opened = Unit(side="reply", about=b"SELECT x", data=b"")
    assert trap.meet("mail", opened) is None
    assert trap.meet("redis", commit) is None
    assert trap.meet("mail", opened) is None
    assert trap.meet("redis", commit) is None
    assert trap.meet("redis", commit) is None
    assert trap.meet("mail", opened) is not None
    assert trap.meet("mail", opened) is None
    assert not trap.wait(0.0)  # nobody stands still there


def test_every_case_has_a_name_of_its_own_and_every_point_its_cases() -> None:
    every = cases.every()
    assert len(every) >= 300
    assert len({case.id for case in every}) == len(every)
    assert {case.server for case in every} == {*get_args(catalogue.Server)}
    assert {case.store for case in every} == {"valkey9", "redis7", "sentinel", "clocked"}
    assert {case.action for case in every} == {"None", "MarkSeen", "Delete", "Move"}
    tried = {case.point for case in every}
    assert tried >= {*cases.COMMON, *cases.BLOBS, *cases.MAIL, *cases.RESETS, *cases.STARTS, *cases.GRAPH}
    assert {case.fault for case in every} == STRIKES.keys()


@pytest.mark.parametrize("appendfsync", ["always", "everysec"])
def test_the_record_of_a_disk(tmp_path: Path, appendfsync: str) -> None:
    """With `always` an entry is on disk before its reply; with `everysec` it is not, and the record shows it."""
    with RedisServer(kind="redis", appendfsync=appendfsync, config=AOF) as server:  # type: ignore[arg-type]
        client = server.client()
        disk = Disk(server, tmp_path, write=lambda: client.set("probe", 1))
        disk.begin()
        replied: dict[str, float] = {}
        for n in range(10):
            client.xadd("queue", {"uid": n, "sha256": f"{n}"})
            replied[str(n)] = time.time()
            time.sleep(0.01)
        early = disk.durable("queue")
        assert early.keys() == replied.keys()
        late = [name for name, at in early.items() if at > replied[name]]
        assert not late if appendfsync == "always" else late, {name: at - replied[name] for name, at in early.items()}
        server.kill()
        disk.end()
        server.start()
        disk.begin()
        client.set("more", 1)
        time.sleep(2.5)  # `everysec`: by then an fsync has ended, which also covers what was there
        assert max(disk.durable("queue").values()) < time.time()
    disk.end()
