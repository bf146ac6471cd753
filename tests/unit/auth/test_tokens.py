"""One request for a token, however many need it; never a token that has ended, was refused, or is of another Secret."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from mailfetch_fetcher.auth.tokens import EARLY, Granted, Tokens
from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.errors import SourceError

DEADLINE = 60.0


class FakeClock(Clock):
    def __init__(self) -> None:
        self.moment = datetime(2026, 3, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def pass_by(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


class Provider:
    """Gives `token-1`, `token-2` …, each for an hour; fails while `failure` is set."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.requests = 0
        self.failure: SourceError | None = None

    def __call__(self) -> Granted:
        self.requests += 1
        if self.failure:
            raise self.failure
        return Granted(access_token=f"token-{self.requests}", expires_at=self._clock.now().timestamp() + 3600)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def tokens(clock: FakeClock) -> Tokens:
    return Tokens(clock)


@pytest.fixture
def provider(clock: FakeClock) -> Provider:
    return Provider(clock)


def test_a_token_serves_until_shortly_before_it_ends(tokens: Tokens, clock: FakeClock, provider: Provider) -> None:
    def get() -> str:
        return tokens.get(b"k", fetch=provider).access_token

    assert [get(), get()] == ["token-1", "token-1"]
    clock.pass_by(3600 - EARLY - 1)
    assert get() == "token-1"
    clock.pass_by(1)
    assert get() == "token-2"


def test_a_token_for_less_than_that_is_used_once(tokens: Tokens, clock: FakeClock) -> None:
    given: list[str] = []

    def short() -> Granted:
        given.append(f"short-{len(given)}")
        return Granted(access_token=given[-1], expires_at=clock.now().timestamp() + 60)

    assert [tokens.get(b"k", fetch=short).access_token for _ in range(2)] == ["short-0", "short-1"]


def test_another_key_is_another_token(tokens: Tokens, provider: Provider) -> None:
    assert tokens.get(b"a", fetch=provider) != tokens.get(b"b", fetch=provider)
    assert tokens.get(b"a", fetch=provider).access_token == "token-1"


def test_only_the_refused_token_is_replaced(tokens: Tokens, provider: Provider) -> None:
    first = tokens.get(b"k", fetch=provider).access_token
    second = tokens.get(b"k", fetch=provider, refused=first).access_token
    assert (first, second) == ("token-1", "token-2")
    assert tokens.get(b"k", fetch=provider, refused=first).access_token == second  # somebody else's, a moment later
    assert provider.requests == 2


def test_a_claims_challenge_needs_a_new_token(tokens: Tokens, provider: Provider) -> None:
    tokens.get(b"k", fetch=provider)
    assert tokens.get(b"k", fetch=provider, anew=True).access_token == "token-2"
    assert tokens.get(b"k", fetch=provider).access_token == "token-2"


def test_a_token_that_one_server_refuses_stays_for_the_others(
    tokens: Tokens, clock: FakeClock, provider: Provider
) -> None:
    """One mailbox without permission must not take the token from all of its application, until it has ended."""
    first = tokens.get(b"k", fetch=provider).access_token
    provider.failure = SourceError("Throttled", "slow down", retry_after=3000.0)
    for _ in range(2):
        with pytest.raises(SourceError, match="slow down"):
            tokens.get(b"k", fetch=provider, refused=first)
        assert tokens.get(b"k", fetch=provider).access_token == first
    assert provider.requests == 2
    clock.pass_by(3600 - EARLY)
    provider.failure = SourceError("AuthorizationRequired", "revoked")
    with pytest.raises(SourceError, match="revoked"):
        tokens.get(b"k", fetch=provider)


def test_whoever_was_refused_gets_the_next_token(tokens: Tokens, provider: Provider) -> None:
    first = tokens.get(b"k", fetch=provider).access_token
    provider.failure = SourceError("ConnectionFailed", "down")
    with pytest.raises(SourceError, match="down"):
        tokens.get(b"k", fetch=provider, refused=first)
    provider.failure = None
    assert tokens.get(b"k", fetch=provider, refused=first).access_token == "token-3"
    assert tokens.get(b"k", fetch=provider).access_token == "token-3"


def test_the_authority_s_wish_for_patience_holds_for_all(tokens: Tokens, clock: FakeClock, provider: Provider) -> None:
    provider.failure = SourceError("Throttled", "slow down", retry_after=100.0)
    with pytest.raises(SourceError):
        tokens.get(b"k", fetch=provider)
    clock.pass_by(40)
    with pytest.raises(SourceError, match="slow down") as e:
        tokens.get(b"k", fetch=provider)
    assert (e.value.reason, e.value.retry_after, provider.requests) == ("Throttled", 60.0, 1)
    provider.failure = None
    clock.pass_by(60)
    assert tokens.get(b"k", fetch=provider).access_token == "token-2"


def test_an_endless_wish_for_patience_does_not_hold(tokens: Tokens, clock: FakeClock, provider: Provider) -> None:
    provider.failure = SourceError("Throttled", "never", retry_after=1e12)
    with pytest.raises(SourceError):
        tokens.get(b"k", fetch=provider)
    provider.failure = None
    clock.pass_by(3600)
    assert tokens.get(b"k", fetch=provider)


def test_many_threads_make_one_request(tokens: Tokens, provider: Provider) -> None:
    found, provider_reached = _crowd(tokens, provider)
    assert {granted.access_token for granted in found} == {"token-1"}
    assert (len(found), provider_reached, provider.requests) == (50, True, 1)


def test_many_threads_share_one_failure(tokens: Tokens, provider: Provider) -> None:
    provider.failure = SourceError("ConnectionFailed", "down")
    failed: list[SourceError] = []
    _crowd(tokens, provider, failed=failed)
    assert provider.requests == 1
    assert {(e.reason, e.message) for e in failed} == {("ConnectionFailed", "down")}
    assert len({id(e) for e in failed}) == len(failed) == 50


def test_many_threads_with_the_same_refused_token(tokens: Tokens, provider: Provider) -> None:
    first = tokens.get(b"k", fetch=provider).access_token
    found, _ = _crowd(tokens, provider, refused=first)
    assert {granted.access_token for granted in found} == {"token-2"}
    assert provider.requests == 2


def test_one_key_does_not_wait_for_another(tokens: Tokens, provider: Provider) -> None:
    reached, release = threading.Event(), threading.Event()

    def slow() -> Granted:
        reached.set()
        assert release.wait(DEADLINE)
        return provider()

    thread = threading.Thread(target=lambda: tokens.get(b"slow", fetch=slow))
    thread.start()
    assert reached.wait(DEADLINE)
    assert tokens.get(b"quick", fetch=provider).access_token == "token-1"
    release.set()
    thread.join(DEADLINE)


def test_what_has_ended_is_forgotten(tokens: Tokens, clock: FakeClock, provider: Provider) -> None:
    for number in range(100):
        tokens.get(b"%d" % number, fetch=provider)
    clock.pass_by(3600)
    tokens.get(b"new", fetch=provider)
    assert len(tokens._entries) == 1


def test_nothing_shows_a_token() -> None:
    granted = Granted(access_token="s3cret", expires_at=1.0, refresh_token="s3cret")
    assert "s3cret" not in repr(granted)


def _crowd(
    tokens: Tokens, fetch: Callable[[], Granted], *, refused: str = "", failed: list[SourceError] | None = None
) -> tuple[list[Granted], bool]:
    """Fifty threads ask while the first request is on its way."""
    reached, release, waiting = threading.Event(), threading.Event(), threading.Barrier(50)
    found: list[Granted] = []

    def held() -> Granted:
        reached.set()
        assert release.wait(DEADLINE)
        return fetch()

    def ask(*, first: bool) -> None:
        if not first:
            assert reached.wait(DEADLINE)
            waiting.wait(DEADLINE)
        try:
            found.append(tokens.get(b"k", fetch=held, refused=refused))
        except SourceError as e:
            assert failed is not None
            failed.append(e)

    threads = [threading.Thread(target=ask, kwargs={"first": n == 0}) for n in range(50)]
    for thread in threads:
        thread.start()
    waiting.wait(DEADLINE)  # the fiftieth at the barrier is this thread
    _until_all_wait(tokens)
    release.set()
    for thread in threads:
        thread.join(DEADLINE)
    return found, reached.is_set()


def _until_all_wait(tokens: Tokens) -> None:
    """Returns when all fifty are at the lock."""
    pause = threading.Event()
    for _ in range(int(DEADLINE * 1000)):
        if tokens._entries[b"k"].users == 50:
            return
        pause.wait(0.001)
    raise AssertionError("not all threads came")
