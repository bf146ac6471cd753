"""The largest mail that the default allows passes through a fetcher with 128 MiB of memory, whatever the protocol."""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.fetcher.helpers import Account, KillableFetcher, assignment, bodies
from tests.servers import mailgen
from tests.servers.redis import Kind, RedisServer

MEMORY = 128 << 20
LARGE = 150 << 20
"""The default of spec.queue.maxMessageSize."""
DEADLINE = 240.0
V1 = Path("/sys/fs/cgroup/memory")
V2 = Path("/sys/fs/cgroup")
SHELL_LIMITS = f"ulimit -s 1024; ulimit -d {MEMORY >> 10}"
"""Where no control group can be made: a bound on heap and stacks, which is stricter (untouched pages count as well),
with the 8 MiB that each thread would reserve for its stack brought down to 1."""


class LimitedFetcher(KillableFetcher):
    """A fetcher whose memory is bounded from its first instruction on."""

    def __init__(self, directory: Path, redis_url: str, *, limit: str) -> None:
        super().__init__(directory, redis_url)
        self._command = ["sh", "-c", f'{limit}; exec "$@"', "sh", *self._command]

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Waits as long as it lives."""
        end = time.monotonic() + DEADLINE
        while not condition():
            assert self._process
            log = (self.directory / "log").read_text()[-3000:]
            assert self._process.poll() is None, f"it ended with {self._process.returncode}: {log}"
            assert time.monotonic() < end, log
            time.sleep(0.1)


@pytest.fixture
def limit() -> Iterator[str]:
    """Shell commands that bound the shell and what it becomes. Fails the test if the kernel had to kill for it."""
    group = _make_group()
    if group is None:
        yield SHELL_LIMITS
        return
    try:
        yield f"echo $$ > {group}/cgroup.procs"
        kills = group / ("memory.events" if (group / "memory.max").exists() else "memory.oom_control")
        assert "oom_kill 0" in kills.read_text()
    finally:
        _remove(group)


def _make_group() -> Path | None:
    """A control group with the bound, of version 1 or 2; None if this process may not make one."""
    name = f"mailfetch-test-{os.getpid()}"
    with contextlib.suppress(OSError):
        if (V1 / "memory.limit_in_bytes").exists():
            (V1 / name).mkdir()
            (V1 / name / "memory.swappiness").write_text("0")
            (V1 / name / "memory.limit_in_bytes").write_text(str(MEMORY))
            return V1 / name
        (V2 / "cgroup.subtree_control").write_text("+memory")
        (V2 / name).mkdir()
        (V2 / name / "memory.swap.max").write_text("0")
        (V2 / name / "memory.max").write_text(str(MEMORY))
        return V2 / name
    with contextlib.suppress(OSError):
        (V2 / name).rmdir()
    return None


def _remove(group: Path) -> None:
    """As soon as its last process is gone."""
    end = time.monotonic() + 10
    while group.exists() and time.monotonic() < end:
        with contextlib.suppress(OSError):
            group.rmdir()
        time.sleep(0.05)


@pytest.mark.parametrize(("protocol", "kind"), [("IMAP", "valkey"), ("POP3", "redis")])
def test_150_mib_through_128_mib(tmp_path: Path, account: Account, limit: str, protocol: str, kind: Kind) -> None:
    large = mailgen.large_mail(LARGE)
    mails = [*mailgen.mails(3), large, *mailgen.mails(3, start=3)]
    account.dovecot.fill(account.user, mails)
    wanted = [hashlib.sha256(raw).hexdigest() for raw in mails]
    del mails, large
    make_spec: Callable[..., dict[str, Any]] = account.spec if protocol == "IMAP" else account.pop3
    with RedisServer(kind=kind, appendfsync="always") as redis:
        client: Any = redis.client()
        with LimitedFetcher(tmp_path / "pod", redis.url, limit=limit) as fetcher:
            account.give_secrets(fetcher)
            fetcher.assign(assignment(make_spec(afterDownload={"action": "Delete"})))
            fetcher.wait_for(lambda: client.xlen("mail:{helpdesk/support}:queue") == len(wanted))
            fetcher.wait_for(lambda: not account.dovecot.flags(account.user))
        assert bodies(client) == wanted
