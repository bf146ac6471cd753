"""Over Microsoft Graph every mail comes once, byte for byte, whatever the server does."""

import hashlib
from pathlib import Path
from random import Random

import pytest

from tests.integration.fetcher.helpers import Fetcher, assignment, bodies, entries, fetcher_on
from tests.integration.graph.tenant import OFTEN, Tenant, running
from tests.servers import graph_faults, mailgen
from tests.servers.certs import Certificates
from tests.servers.graph_mailbox import Mailbox
from tests.servers.redis import RedisServer, wait_until

PAGES = 250
"""Mails that fill three pages of changes."""


def stored(mailbox: Mailbox, *ids: str) -> list[str]:
    """SHA-256 of mails, or of all in the inbox, sorted."""
    return sorted(hashlib.sha256(mailbox.raw(one)).hexdigest() for one in ids or mailbox.ids())


@pytest.mark.parametrize("action", ["None", "MarkSeen", "Delete", "Move"])
def test_mails_come_once_whatever_happens_to_them(
    fetcher: Fetcher, server: RedisServer, tenant: Tenant, action: str
) -> None:
    tenant.mailbox.add_folder("Done")
    odd = (mailgen.large_mail(2_000_000), b"no header at all\r\n", b"A: b\r\n\r\n.\r\n..\r\n", b"")
    ids = tenant.fill(*mailgen.mails(150), *odd)
    after = {"action": action} | ({"folder": "Done"} if action == "Move" else {})
    fetcher.assign(assignment(tenant.spec(schedule=OFTEN, afterDownload=after)))
    report = fetcher.caught_up(154)
    assert (report.phase, report.problem, report.lag) == ("Polling", None, 0)
    for n in range(154, 157):
        ids += tenant.fill(mailgen.make_mail(n))
        fetcher.caught_up(n + 1)
    assert sorted(bodies(server.client())) == stored(tenant.mailbox, *ids)
    places = {"Delete": "deleteditems", "Move": "Done"}
    assert {tenant.mailbox.where(one) for one in ids} == {places.get(action, "inbox")}
    assert {tenant.mailbox.is_read(one) for one in ids} == {action == "MarkSeen"}


def test_entries_tell_of_the_mail(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    tenant.fill(b"Subject: a\r\n\r\nb\r\n", read=True, received="2026-03-01T08:15:00Z")
    fetcher.assign(assignment(tenant.spec()))
    fetcher.caught_up(1)
    (entry,) = entries(server.client())
    assert (entry["subject"], entry["received"], entry["flags"], entry["uid"]) == (
        *("a", "2026-03-01T08:15:00Z", "\\Seen", "0"),
    )
