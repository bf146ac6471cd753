"""The source by itself: ended from another thread, and what it asks of its server."""

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from random import Random

import pytest

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.base import Absent, Message
from mailfetch_fetcher.sources.graph import GraphSource
from mailfetch_fetcher.sources.graph_http import AT_ONCE, OF_A_MAILBOX, GraphHttp
from mailfetch_fetcher.sources.graph_pages import id_of
from mailfetch_fetcher.sources.graph_settings import GraphSettings
from tests.integration.graph.telling import left, tell, there
from tests.integration.graph.tenant import USER
from tests.servers import graph_faults, mailgen
from tests.servers.certs import Certificates
from tests.servers.graph import GraphFake
from tests.servers.graph_access import Grant
from tests.servers.graph_mailbox import Mailbox
from tests.servers.graph_schema import Answer
from tests.servers.redis import wait_until
from tests.servers.resolve import resolve

LONG = 120.0
"""Seconds that the server may be silent: longer than a test may last."""


class FixedBearer:
    """One token for ever."""

    def token(self, *, refused: str = "", claims: str = "") -> str:
        return "token"


@pytest.fixture
def graph(certificates: Certificates) -> Iterator[GraphFake]:
    grant = Grant(account=USER, scopes={"Mail.ReadWrite"})
    with (
        GraphFake(certificates=certificates, check={"token": grant}.get) as fake,
        resolve({("graph.microsoft.com", 443): fake.port}),
    ):
        yield fake


@pytest.fixture
def mailbox(graph: GraphFake) -> Mailbox:
    return graph.mailbox(USER)


@pytest.fixture
def settings(certificates: Certificates) -> GraphSettings:
    return GraphSettings(
        host="graph.microsoft.com",
        mailbox=USER,
        base=f"/v1.0/users/{USER}",
        ca=certificates.ca.read_bytes(),
        timeout=LONG,
        part_size=100_000,
        page=10,
    )


@pytest.fixture
def source(graph: GraphFake, settings: GraphSettings) -> Iterator[GraphSource]:
    made = GraphSource(settings, bearer=FixedBearer())
    made.open()
    yield made
    made.close()


def nothing(names: object) -> list[bool]:
    return [False] * len(names)  # type: ignore[arg-type]


def read_all(source: GraphSource) -> None:
    for window in source.discover("", known=nothing):
        for item in source.fetch(window.refs):
            assert isinstance(item, Message)
            list(item.parts or ())


@pytest.mark.parametrize("endpoint", ["delta", "value"])
def test_another_thread_ends_what_is_read(
    graph: GraphFake, mailbox: Mailbox, source: GraphSource, endpoint: str
) -> None:
    mailbox.deliver(mailgen.large_mail(300_000))
    graph.fail(endpoint, graph_faults.stall(50), times=None)

    def end() -> None:
        graph.await_request(endpoint)
        source.close()

    began = time.monotonic()
    ending = threading.Thread(target=end)
    ending.start()
    with pytest.raises(SourceError, match=r"broke|was closed"):
        read_all(source)
    ending.join()
    assert time.monotonic() - began < LONG  # it was not the silence that ended it
    with pytest.raises(SourceError, match="was closed"):
        source.sample("", 1)


def test_parts_make_the_mail(mailbox: Mailbox, source: GraphSource) -> None:
    sizes = (0, 1, 99_999, 100_000, 100_001, 200_000, 250_001)
    ids = [mailbox.deliver(b"x" * size) for size in sizes]
    (window,) = source.discover("", known=nothing)
    taken: dict[str, bytes] = {}
    for item, ref in zip(source.fetch(window.refs), window.refs, strict=True):
        assert isinstance(item, Message)
        assert item.ref == ref
        parts = list(item.parts or ())
        assert all(len(part) <= 100_000 for part in parts)
        taken[item.name.decode()] = (item.raw or b"") + b"".join(parts)
        assert (item.raw is None) == (len(taken[item.name.decode()]) > 100_000)
    assert [len(taken[one]) for one in ids] == list(sizes)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_mail_that_is_cut_while_its_parts_are_stored(
    graph: GraphFake, mailbox: Mailbox, source: GraphSource, chunked: bool
) -> None:
    """Whoever stores the parts is told of a broken connection as everywhere else."""
    mailbox.deliver(b"x" * 250_000)
    graph.fail("value", graph_faults.cut_body(150_001, chunked=chunked), times=None)
    (window,) = source.discover("", known=nothing)
    fetching = source.fetch(window.refs)  # which would say so itself if it were asked for more
    item = next(fetching)
    assert isinstance(item, Message)
    assert item.parts is not None
    with pytest.raises(SourceError, match="broke"):
        list(item.parts)


@pytest.mark.parametrize("seed", range(5))
def test_a_mail_that_is_told_twice_is_handed_out_once(
    graph: GraphFake, mailbox: Mailbox, source: GraphSource, seed: int
) -> None:
    """The ledger does not know it yet when it is told of again: commits take their time."""
    graph.chaotic = Random(seed)
    ids = [mailbox.deliver(mailgen.make_mail(n)) for n in range(60)]
    windows = list(source.discover("", known=nothing))
    assert len(windows) > 5
    assert sorted(ref.key for window in windows for ref in window.refs) == sorted(f"{one}/1" for one in ids)


def test_a_mail_is_only_taken_where_it_was_told_to_be(mailbox: Mailbox, source: GraphSource) -> None:
    """Its id opens it in every folder: only in the first round, when no mail can have been here before, that is old."""
    (first,) = source.discover("", known=nothing)
    for cursor, kind in (("", Message), (first.cursor, Absent)):
        one = mailbox.deliver(mailgen.make_mail(1))
        for window in source.discover(cursor, known=nothing):
            mailbox.move(one, "archive")
            assert [type(item) for item in source.fetch(window.refs)] == [kind]


def test_some_mails_are_read_at_once_and_come_in_their_order(
    graph: GraphFake, mailbox: Mailbox, source: GraphSource
) -> None:
    for n in range(9):
        mailbox.deliver(mailgen.large_mail(150_000, seed=n) if n % 4 == 3 else mailgen.make_mail(n))
    held = graph_faults.hold()
    graph.fail("value", held)
    (window,) = source.discover("", known=nothing)
    taken = []

    def take() -> None:
        for item in source.fetch(window.refs):
            assert isinstance(item, Message)
            list(item.parts or ())
            taken.append(item.ref)

    taking = threading.Thread(target=take)
    taking.start()
    graph.await_request("value", times=3)
    held.release.set()
    taking.join()
    assert taken == list(window.refs)
    assert mailbox.highest <= 4


def test_every_request_asks_for_lasting_ids(graph: GraphFake, mailbox: Mailbox, source: GraphSource) -> None:
    """The double refuses what a mail's other id is used for; ids that differ only in case stay apart."""
    ids = [mailbox.deliver(mailgen.make_mail(n)) for n in range(4)]
    (window,) = source.discover("", known=nothing)
    assert {item.name.decode() for item in source.fetch(window.refs) if isinstance(item, Message)} == set(ids)
    assert len({one.lower() for one in ids}) < len(ids)
    assert sorted(mail.name.decode() for piece in source.listing() for mail in piece.mails) == sorted(ids)


def every(names: object) -> list[bool]:
    return [True] * len(names)  # type: ignore[arg-type]


def chosen(source: GraphSource, after: str = "") -> list[str]:
    """Ids of the mails that a request means."""
    windows = source.select("since:2026-01-01", after=after, cursor="", known=every)
    return [id_of(ref.key) for window in windows for ref in window.refs]


def test_a_request_is_read_as_it_is_wanted(graph: GraphFake, mailbox: Mailbox, source: GraphSource) -> None:
    """Each mail that stays comes once, whatever comes and leaves meanwhile; the oldest first."""
    old = mailbox.deliver(b"", received="2025-12-31T23:59:59Z")
    ids = [mailbox.deliver(b"") for _ in range(2500)]
    lists = graph.count("list")
    windows = source.select("since:2026-01-01", after="", cursor="", known=every)
    first = [id_of(ref.key) for ref in next(windows).refs]
    assert 900 < len(first) <= 1000
    assert graph.count("list") == lists + 1
    for one in ids[:1500:2]:
        mailbox.move(one, "archive")
    mailbox.deliver(b"", received="2025-06-01T00:00:00Z")
    rest = [id_of(ref.key) for window in windows for ref in window.refs]
    assert sorted(first + rest) == sorted({*first, *ids} - ({*ids[:1500:2]} - {*first}))
    assert old not in first
    assert first + rest == sorted(first + rest, key=lambda one: mailbox.mails[one].received or "")


def test_a_request_goes_on_behind_any_mail(mailbox: Mailbox, source: GraphSource) -> None:
    ids = [mailbox.deliver(b"", received="2026-02-01T00:00:00Z") for _ in range(2100)]
    ids += [mailbox.deliver(b"", received="2026-02-02T00:00:00Z") for _ in range(3)]
    wanted = chosen(source)
    assert sorted(wanted) == sorted(ids)
    windows = source.select("since:2026-01-01", after="", cursor="", known=every)
    window = next(windows)
    places = (0, 1, 1050, 2098, 2099)
    items = list(source.fetch([window.refs[at] for at in places]))
    for at, item in zip(places, items, strict=True):
        assert chosen(source, after=item.cursor) == wanted[at + 1 :]
    assert chosen(source, after=window.cursor) == wanted[2100:]


def linked(link: str) -> graph_faults.Fault:
    """An empty page, and the link to another one."""
    page = b'{"value": [], "@odata.nextLink": "https://graph.microsoft.com/v1.0%b"}' % link.encode()
    return graph_faults.Fault(answer=Answer(body=page, headers={"Preference-Applied": 'IdType="ImmutableId"'}))


FOLLOWED: Mapping[str, tuple[str, Callable[[GraphSource], object]]] = {
    "delta_next": ("/mailFolders/inbox/messages/delta?$skiptoken=", lambda s: list(s.discover("", known=nothing))),
    "list": ("/mailFolders/inbox/messages?$skip=", lambda s: list(s.listing())),
    "folders": ("/mailFolders?$skip=", lambda s: s.open()),
}


@pytest.mark.parametrize("endpoint", FOLLOWED)
def test_pages_that_lead_round_in_a_circle(graph: GraphFake, settings: GraphSettings, endpoint: str) -> None:
    path, follow = FOLLOWED[endpoint]
    graph.mailbox(USER).add_folder("Support")
    source = GraphSource(
        dataclasses.replace(settings, folder="Support" if endpoint == "folders" else "INBOX"), bearer=FixedBearer()
    )
    if endpoint != "folders":
        source.open()
    if endpoint == "delta_next":
        graph.fail("delta", linked(f"/users/{USER}{path}0"))
    before = graph.count(endpoint)
    for n in range(20):
        graph.fail(endpoint, linked(f"/users/{USER}{path}{n % 2 + 1}"))
    with pytest.raises(SourceError, match="round in a circle"):
        follow(source)
    assert graph.count(endpoint) - before < 10
    source.close()


class StuckBearer:
    """Waits for an authority that does not answer in time."""

    def __init__(self) -> None:
        self.asked = 0
        self.given_up = threading.Event()
        self._lock = threading.Lock()

    def token(self, *, refused: str = "", claims: str = "") -> str:
        with self._lock:
            self.asked += 1
        self.given_up.wait()
        raise SourceError("ConnectionFailed", "no answer")


@pytest.mark.parametrize("refused", [False, True])
def test_a_slow_authority_holds_up_nobody_else(graph: GraphFake, settings: GraphSettings, refused: bool) -> None:
    """As many requests as may be under way wait for tokens, of this mailbox too: none of them is under way."""

    class Refused(StuckBearer):
        def token(self, *, refused: str = "", claims: str = "") -> str:
            return super().token() if refused else "bad"

    graph.mailbox(USER)
    bearer = Refused() if refused else StuckBearer()
    inbox = f"{settings.base}/mailFolders/inbox"

    def ask(mailbox: str) -> None:
        http = GraphHttp(dataclasses.replace(settings, mailbox=mailbox), bearer=bearer, alive=lambda: None)
        with pytest.raises(SourceError, match="no answer"):
            http.get(inbox)

    mailboxes = [USER if n < OF_A_MAILBOX else f"u{n}@contoso.com" for n in range(AT_ONCE)]
    waiting = [threading.Thread(target=ask, args=(mailbox,), daemon=True) for mailbox in mailboxes]
    for thread in waiting:
        thread.start()
    beats: list[None] = []

    def alive() -> None:
        beats.append(None)
        assert len(beats) < 10, "it waits for a place"

    try:
        wait_until(lambda: bearer.asked == AT_ONCE, what="all wait for a token")
        GraphHttp(settings, bearer=FixedBearer(), alive=alive).get(inbox)
    finally:
        bearer.given_up.set()
        for thread in waiting:
            thread.join()


@pytest.fixture
def value(graph: GraphFake, mailbox: Mailbox, settings: GraphSettings) -> str:
    return f"{settings.base}/messages/{mailbox.deliver(mailgen.large_mail(100_000))}/$value"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_mail_that_comes_slowly_shows_that_it_comes(
    graph: GraphFake, settings: GraphSettings, value: str, chunked: bool
) -> None:
    slow = graph_faults.stall(50, chunked=chunked)
    graph.fail("value", slow)
    http = GraphHttp(dataclasses.replace(settings, timeout=10.0), bearer=FixedBearer(), alive=lambda: None)
    with http.download(value) as (pieces, _):
        assert len(next(pieces)) == 50
        slow.release.set()
        assert sum(map(len, pieces)) > 99_000
    http.close()


class GivenUp(Exception):
    pass


@pytest.mark.parametrize("chunked", [False, True])
def test_a_mail_that_comes_slowly_can_be_given_up(
    graph: GraphFake, settings: GraphSettings, value: str, chunked: bool
) -> None:
    graph.fail("value", graph_faults.stall(50, chunked=chunked))
    asked = threading.Event()

    def alive() -> None:
        if asked.is_set():
            raise GivenUp

    http = GraphHttp(dataclasses.replace(settings, timeout=10.0), bearer=FixedBearer(), alive=alive)
    with http.download(value) as (pieces, _):
        asked.set()
        with pytest.raises(GivenUp):
            next(pieces)
    http.close()


def test_a_mail_that_leaves_while_its_commit_is_under_way(
    graph: GraphFake, mailbox: Mailbox, source: GraphSource
) -> None:
    """The ledger does not know it yet, but will."""
    (start,) = source.discover("", known=nothing)
    one = mailbox.deliver(mailgen.make_mail(1))
    mailbox.move(one, "archive")
    came = there(one, folder=mailbox.folder("inbox").id, received="2026-01-01T00:00:00Z")
    tell(graph, [came], [left(one)])
    first, second = source.discover(start.cursor, known=nothing)
    assert [id_of(ref.key) for ref in first.refs] == [one]
    assert (first.gone, second.gone) == ((), (one.encode(),))


def test_a_mail_that_the_first_round_tells_to_have_left_is_looked_for(
    graph: GraphFake, mailbox: Mailbox, source: GraphSource
) -> None:
    """Else it would be known as downloaded, and not be new when it comes back."""
    list(source.discover("", known=nothing))
    one = mailbox.deliver(mailgen.make_mail(1))
    mailbox.move(one, "archive")
    came = there(one, folder=mailbox.folder("inbox").id, received="2026-01-01T00:00:00Z")
    tell(graph, [came, left(one)], again=True)
    (window,) = source.discover("", known=nothing)
    assert [type(item) for item in source.fetch(window.refs)] == [Absent]
