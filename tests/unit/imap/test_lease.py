"""Nothing is changed in a mailbox without the lease."""

from collections.abc import Callable

import pytest

from mailfetch_fetcher.sources.base import ActionKind
from mailfetch_fetcher.sources.imap import ImapSource
from tests.servers.imapfake import FakeImap
from tests.servers.imapfake_calls import action, fingerprints, finish

Open = Callable[..., ImapSource]
PLAIN = "IMAP4rev1"
pytestmark = pytest.mark.usefixtures("five_mails")


CHANGES = ("UID STORE", "UID COPY", "UID MOVE", "UID EXPUNGE", "EXPUNGE")


@pytest.mark.parametrize("kind", ["MarkSeen", "Delete", "Move"])
@pytest.mark.parametrize("capabilities", [PLAIN, "IMAP4rev1 UIDPLUS", "IMAP4rev1 UIDPLUS MOVE"])
@pytest.mark.parametrize("same_session", [True, False])
def test_the_lease_is_confirmed_right_before_each_change(
    server: FakeImap, open_source: Open, kind: ActionKind, capabilities: str, same_session: bool
) -> None:
    server.quirks.after_login = capabilities
    known = fingerprints(open_source())
    source = open_source(action=kind, target="Done" if kind == "Move" else "")
    confirmed: list[int] = []
    batch = [action(uid, kind, fingerprint=known[uid], same_session=same_session) for uid in (1, 2, 3)]
    outcomes = finish(source, *batch, confirm=lambda: confirmed.append(len(server.commands)))
    assert {o.result for o in outcomes} == {"done"}
    changes = [n for n, command in enumerate(server.commands) if command.startswith(CHANGES)]
    assert confirmed == changes != []


@pytest.mark.parametrize("kind", ["MarkSeen", "Delete", "Move"])
@pytest.mark.parametrize("capabilities", [PLAIN, "IMAP4rev1 UIDPLUS MOVE"])
def test_without_the_lease_nothing_is_changed(
    server: FakeImap, open_source: Open, kind: ActionKind, capabilities: str
) -> None:
    class LostError(Exception):
        pass

    def lost() -> None:
        raise LostError

    server.quirks.after_login = capabilities
    source = open_source(action=kind, target="Done" if kind == "Move" else "")
    with pytest.raises(LostError):
        finish(source, action(1, kind), confirm=lost)
    assert not any(c.startswith(CHANGES) for c in server.commands)
