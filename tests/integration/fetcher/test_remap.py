"""UIDVALIDITY changes on a mailbox of 20,000 known mails plus 7 new ones: 7 come, and little is read from the server.

Read are the headers by which mails are recognised, about 200 bytes each; the bodies, 40 MB here, are not.
"""

import statistics
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.fetcher.helpers import Account, Fetcher, assignment, bodies
from tests.servers import mailgen
from tests.servers.proxy import FaultProxy
from tests.servers.redis import RedisServer, wait_until

KNOWN, NEW = 20_000, 7
MOST = 5_000_000


@pytest.fixture
def proxy(account: Account) -> Iterator[FaultProxy]:
    with FaultProxy(account.dovecot.imaps_port) as proxy:
        yield proxy


def await_round(fetcher: Fetcher, messages: int) -> None:
    """Until so many are downloaded in all and the round has ended."""

    def ended() -> bool:
        report = fetcher.report()
        assert not report or not report.problem, report
        return bool(report and report.messages == messages and report.phase in ("Listening", "Polling"))

    wait_until(ended, what=f"a round that ends with {messages} mails", seconds=240)


def test_20_000_known_mails_are_recognised(
    fetcher: Fetcher, server: RedisServer, account: Account, proxy: FaultProxy
) -> None:
    spec = account.spec(
        server={"host": "127.0.0.1", "port": proxy.port},
        afterDownload={"action": "None"},
        approval={"maxMessages": KNOWN},
    )
    sizes = [len(raw) for raw in account.dovecot.fill(account.user, mailgen.mails(KNOWN))]
    assert statistics.fmean(sizes) * KNOWN > 4 * MOST, "so few bytes that even a whole download could pass"
    account.give_secrets(fetcher)
    fetcher.assign(assignment(spec))
    await_round(fetcher, KNOWN)
    fetcher.assign()
    wait_until(lambda: fetcher.report() is None, what="the end of the session")

    client: Any = server.client()
    client.delete("mail:{helpdesk/support}:queue")
    account.dovecot.set_uid_validity(account.user, 4711)
    account.dovecot.fill(account.user, mailgen.mails(NEW, start=KNOWN))
    before = proxy.passed["to_client"]
    fetcher.assign(assignment(spec))
    await_round(fetcher, KNOWN + NEW)
    read = proxy.passed["to_client"] - before
    assert len(bodies(client)) == NEW
    assert read < MOST, f"{read} bytes were read"
