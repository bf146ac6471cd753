"""Logging in with an access token over POP3: always in two lines, as Microsoft wants it."""

from collections.abc import Callable

import pytest

from mailfetch_fetcher.errors import Pace, SourceError
from mailfetch_fetcher.sources.pop3 import Pop3Source
from mailfetch_fetcher.sources.sasl import TokenLogin
from tests.servers.pop3fake import CUT, FakePop3
from tests.servers.saslfake import GOOGLE_CHALLENGE
from tests.unit.imap.test_token_login import USER, Tokens
from tests.unit.pop3.conftest import MakeSource

MICROSOFT = ("TOP", "UIDL", "SASL PLAIN XOAUTH2", "USER", "STLS")


@pytest.fixture
def bearer() -> Tokens:
    return Tokens()


@pytest.fixture
def make(server: FakePop3, make_source: MakeSource, bearer: Tokens) -> Callable[..., Pop3Source]:
    """A source with tokens; keywords `provider` and `flow`, others are settings."""
    server.quirks.before_login = MICROSOFT

    def made(provider: str = "Microsoft", flow: str = "Delegated", **changes: object) -> Pop3Source:
        login = TokenLogin(bearer=bearer, provider=provider, flow=flow)  # type: ignore[arg-type]
        return make_source(token=login, username=USER, password="", encryption="StartTLS", **changes)

    return made


def failure(source: Pop3Source) -> SourceError:
    with pytest.raises(SourceError) as e:
        source.open()
    assert "token-" not in e.value.message
    return e.value


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_a_good_token_opens_the_mailbox(server: FakePop3, make: Callable[..., Pop3Source], mechanism: str) -> None:
    server.quirks.before_login = ("UIDL", f"SASL PLAIN {mechanism}", "STLS")
    server.quirks.tokens.good = {"token-1": USER}
    make().open()
    assert f"AUTH {mechanism}" in server.commands
    assert server.quirks.tokens.shown == [(USER, "token-1")]


def test_a_shared_mailbox_is_named_in_place_of_the_user(server: FakePop3, make: Callable[..., Pop3Source]) -> None:
    server.quirks.tokens.good = {"token-1": "billing@contoso.com"}
    make(shared_mailbox="billing@contoso.com").open()


@pytest.mark.parametrize("challenge", [{}, GOOGLE_CHALLENGE], ids=["Microsoft", "Google"])
@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_a_refused_token_is_replaced_on_the_same_connection(
    server: FakePop3, make: Callable[..., Pop3Source], bearer: Tokens, mechanism: str, challenge: dict[str, str]
) -> None:
    server.quirks.before_login = ("UIDL", f"SASL {mechanism}", "STLS")
    server.quirks.tokens.good, server.quirks.tokens.challenge = {"token-2": USER}, challenge
    make().open()
    assert bearer.refused == ["token-1"]
    assert len(server.sessions) == 1


def test_a_second_refusal_is_the_last(server: FakePop3, make: Callable[..., Pop3Source]) -> None:
    server.quirks.tokens.challenge = GOOGLE_CHALLENGE
    error = failure(make(provider="Google", flow="Application"))
    assert (error.reason, error.pace) == ("AuthFailed", Pace.SLOW)
    assert "status 400, scope https://mail.google.com/" in error.message
    assert "domain-wide delegation" in error.message
    assert [token for _, token in server.quirks.tokens.shown] == ["token-1", "token-2"]


def test_microsoft_s_refusal_names_what_to_change(server: FakePop3, make: Callable[..., Pop3Source]) -> None:
    error = failure(make())
    assert "unknown user name or bad password" in error.message
    assert "Set-CASMailbox -Identity u@contoso.com -PopEnabled $true" in error.message
    assert "password in" not in error.message


def test_a_server_that_hangs_up_sees_the_other_token_at_the_next_login(
    server: FakePop3, make: Callable[..., Pop3Source]
) -> None:
    server.quirks.tokens.good = {"token-2": USER}
    server.quirks.tokens.refusal = b"Authentication failure.\r\n" + CUT
    assert failure(make()).reason == "AuthFailed"
    make().open()


@pytest.mark.parametrize(
    ("refusal", "reason", "seconds"),
    [
        (b"Request is throttled. Suggested Backoff Time: 299910 milliseconds", "Throttled", 299.91),
        (b"[SYS/TEMP] Server Unavailable. 15", "ConnectionFailed", None),
        (b"[IN-USE] mailbox in use", "ConnectionFailed", None),
    ],
)
def test_trouble_that_passes_is_no_bad_token(
    server: FakePop3,
    make: Callable[..., Pop3Source],
    bearer: Tokens,
    refusal: bytes,
    reason: str,
    seconds: float | None,
) -> None:
    server.quirks.tokens.refusal = refusal
    error = failure(make())
    assert (error.reason, error.retry_after) == (reason, seconds and pytest.approx(seconds))
    assert bearer.refused == []


@pytest.mark.parametrize("where", ["refusal", "challenge"])
def test_a_server_that_repeats_the_token(
    server: FakePop3, make: Callable[..., Pop3Source], bearer: Tokens, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    token = 40 * "Ab3dEf9hI-"
    monkeypatch.setattr(bearer, "token", lambda **_: token)
    if where == "challenge":
        server.quirks.tokens.challenge = {"status": "400", "scope": token}
    else:
        server.quirks.tokens.refusal = f"no {token}".encode()
    message = failure(make()).message
    assert "…" in message
    assert token[:24] not in message


def test_a_server_without_a_mechanism_for_tokens(server: FakePop3, make: Callable[..., Pop3Source]) -> None:
    server.quirks.before_login = ("UIDL", "SASL PLAIN", "USER", "STLS")
    assert "takes no access tokens (it offers PLAIN)" in failure(make()).message


def test_no_token_travels_in_the_clear(server: FakePop3, make_source: MakeSource, bearer: Tokens) -> None:
    login = TokenLogin(bearer=bearer, provider="Microsoft", flow="Delegated")
    error = failure(make_source(token=login, encryption="None", allow_insecure_login=True))
    assert error.reason == "InvalidConfiguration"
    assert server.commands == []


# ---- passwords ----


def test_a_shared_mailbox_with_a_password(server: FakePop3, make_source: MakeSource) -> None:
    server.quirks.shared = "billing@example.com"
    make_source(shared_mailbox="billing@example.com").open()


def test_a_shared_mailbox_where_user_and_pass_cannot_name_it(server: FakePop3, make_source: MakeSource) -> None:
    server.quirks.before_login = ("UIDL", "USER")
    with pytest.raises(SourceError, match=r"SASL PLAIN.*spec\.sharedMailbox") as e:
        make_source(shared_mailbox="billing@example.com").open()
    assert e.value.reason == "InvalidConfiguration"
    assert server.secrets == []
