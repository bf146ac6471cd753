"""BYE, silence, a cut or nonsense in place of any answer: an error within the timeout, and never a wrong mail."""

from collections.abc import Callable

import pytest

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.base import Message
from mailfetch_fetcher.sources.imap import ImapSource
from tests.servers.imapfake import CUT, SILENCE, FakeImap
from tests.servers.imapfake_calls import action, digest, finish, messages, never
from tests.servers.mailgen import make_mail

Make = Callable[..., ImapSource]
COMMANDS = 24
"""Of one life; if this changes, so does the number of faults that are tried."""
pytestmark = pytest.mark.usefixtures("five_mails")


OPEN = 5
"""The first of them make the connection."""


def live(source: ImapSource, anchor: str, into: list[Message]) -> None:
    """Everything that a session does."""
    source.open()
    source.changed("1:5", anchor=anchor, digest=digest)
    source.snapshot("1:2", known=never, unseen=True)
    source.baseline(since=5)
    source.sample("1:5", 3)
    list(source.listing())
    for window in source.discover("1:0;3;9", known=never):
        into += [item for item in source.fetch(window.refs) if isinstance(item, Message)]
    list(source.select("uid:2-4", after="", cursor="1:5", known=never))
    finish(source, action(1, "Move", phase="copying"), action(2, "Move"))
    source.wait(0.01)


@pytest.fixture
def anchor(server: FakeImap, make_source: Make) -> str:
    server.quirks.after_login = "IMAP4rev1 UIDPLUS IDLE ESEARCH"
    source = make_source()
    source.open()
    return f"5:{digest(messages(source)[4].identity)}"


def test_a_life_without_faults(server: FakeImap, make_source: Make, anchor: str) -> None:
    server.commands.clear()
    got: list[Message] = []
    live(make_source(action="Move", target="Done"), anchor, got)
    assert [mail.raw for mail in got] == [make_mail(n) for n in range(5)]
    assert len(server.commands) == COMMANDS
    assert server.commands[OPEN].startswith("UID FETCH 5 ")


@pytest.mark.parametrize(
    "fault",
    [
        b"* BYE going down\r\n" + CUT,
        b"* OK still\r\n* BYE\r\n",
        CUT,
        b"* 1 FETCH (UID 1 " + CUT,
        b"\xff\xfe no IMAP\r\n",
        b"TAG MAYBE\r\n",
        SILENCE,
    ],
    ids=["bye", "bye without a cut", "cut", "cut line", "nonsense", "odd status", "silence"],
)
@pytest.mark.parametrize("number", range(1, COMMANDS + 1))
def test_a_fault_in_place_of_any_answer(
    server: FakeImap, make_source: Make, anchor: str, number: int, fault: bytes
) -> None:
    server.commands.clear()
    server.quirks.faults_at = {number: fault}
    source = make_source(action="Move", target="Done", timeout=0.2)
    got: list[Message] = []
    with pytest.raises(SourceError) as caught:
        live(source, anchor, got)
    assert caught.value.reason == "ConnectionFailed"
    assert len(server.commands) in (number, number + 1)  # DONE, and a login that goes on, are no answers
    assert [mail.raw for mail in got] == [make_mail(n) for n in range(len(got))]
    if number > OPEN:
        with pytest.raises(SourceError):
            source.snapshot("1:1", known=never)  # dead for ever
