"""Servers (each started once, when the first test needs it), one Redis, a mailbox and a connection for each test.

`mailbox` runs a test for each server and protocol, over the strongest encryption that the server has;
`any_mailbox` for each encryption as well. At the end a table tells what ran.
"""

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.fetching import Connection
from tests.conformance.mailboxes import ENCRYPTIONS, NAMES, Encryption, Mailbox, Protocol, Server, running
from tests.servers.certs import Certificates
from tests.servers.redis import RedisServer

PROTOCOLS: tuple[Protocol, ...] = ("IMAP", "POP3")
EVERY = tuple(itertools.product(NAMES, PROTOCOLS, ENCRYPTIONS))
STRONGEST: dict[str, Encryption] = {"popa3d": "None"}
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    with RedisServer(kind="valkey", appendfsync="always") as server:
        yield server


@pytest.fixture(scope="session")
def server(certificates: Certificates) -> Iterator[Callable[[str], Server]]:
    """Starts a server by its name."""
    with contextlib.ExitStack() as stack:
        started: dict[str, Server] = {}

        def start(name: str) -> Server:
            if name not in started:
                started[name] = stack.enter_context(running(name, certificates))
            return started[name]

        yield start


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "any_mailbox" in metafunc.fixturenames:
        chosen = EVERY
    elif "mailbox" in metafunc.fixturenames:
        chosen = tuple(one for one in EVERY if one[2] == STRONGEST.get(one[0], "TLS"))
    else:
        return
    name = "any_mailbox" if "any_mailbox" in metafunc.fixturenames else "mailbox"
    metafunc.parametrize(name, chosen, ids=["-".join(one) for one in chosen], indirect=True)


@pytest.fixture
def any_mailbox(request: pytest.FixtureRequest, server: Callable[[str], Server]) -> Mailbox:
    return _mailbox(request, server)


@pytest.fixture
def mailbox(request: pytest.FixtureRequest, server: Callable[[str], Server]) -> Mailbox:
    return _mailbox(request, server)


def _mailbox(request: pytest.FixtureRequest, server: Callable[[str], Server]) -> Mailbox:
    """An empty one, of a user of its own."""
    name, protocol, encryption = request.param
    made = server(name)
    for what in (protocol, {"StartTLS": "STARTTLS"}.get(encryption, encryption)):
        if why := made.lacks.get(what):
            pytest.skip(f"no {what}: {why}")
    user, password = made.new_user()
    return Mailbox(server=made, protocol=protocol, encryption=encryption, user=user, password=password)


@pytest.fixture
def connection(request: pytest.FixtureRequest, redis: RedisServer, tmp_path: Path) -> Iterator[Connection]:
    """The connection to `mailbox` (or `any_mailbox`)."""
    name = "any_mailbox" if "any_mailbox" in request.fixturenames else "mailbox"
    made = Connection(request.getfixturevalue(name), redis, tmp_path, name=f"c{next(_numbers)}")
    yield made
    made.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What ran, by server and protocol."""
    table: Counter[tuple[str, str]] = Counter()
    for outcome in ("passed", "skipped", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            parts = report.nodeid.partition("[")[2].rstrip("]").split("-")
            if len(parts) >= 2 and parts[0] in NAMES:
                table[f"{parts[0]} {parts[1]}", outcome] += 1
    if not table:
        return
    terminalreporter.section("servers")
    for row in dict.fromkeys(row for row, _ in table):
        counts = "  ".join(f"{outcome} {table[row, outcome]}" for outcome in ("passed", "skipped", "failed", "error"))
        terminalreporter.write_line(f"{row:<16} {counts}")
