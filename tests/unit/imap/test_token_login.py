"""Logging in with an access token: as Microsoft, Google and others want it, and what their refusals mean."""

import base64
from collections.abc import Callable

import pytest

from mailfetch_fetcher.errors import Pace, SourceError
from mailfetch_fetcher.sources.imap import ImapSource
from mailfetch_fetcher.sources.sasl import TokenLogin, why_refused
from tests.servers.imapfake import CUT, FakeImap
from tests.servers.saslfake import GOOGLE_CHALLENGE
from tests.unit.imap.conftest import MakeSource

MICROSOFT = "IMAP4 IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR UIDPLUS STARTTLS"
USER = "u@contoso.com"


class Tokens:
    """A bearer that gives `token-1`, and another one each time when it hears that one is refused."""

    def __init__(self) -> None:
        self.given = 1
        self.refused: list[str] = []

    def token(self, *, refused: str = "", claims: str = "") -> str:
        assert not claims
        if refused:
            self.refused.append(refused)
            if refused == self.name:
                self.given += 1
        return self.name

    @property
    def name(self) -> str:
        return f"token-{self.given}"


@pytest.fixture
def bearer() -> Tokens:
    return Tokens()


@pytest.fixture
def make(server: FakeImap, make_source: MakeSource, bearer: Tokens) -> Callable[..., ImapSource]:
    """A source with tokens; keywords `provider` and `flow`, others are settings."""
    server.quirks.before_login = MICROSOFT

    def made(provider: str = "Microsoft", flow: str = "Delegated", **changes: object) -> ImapSource:
        login = TokenLogin(bearer=bearer, provider=provider, flow=flow)  # type: ignore[arg-type]
        return make_source(token=login, username=USER, password="", encryption="StartTLS", **changes)

    return made


def failure(source: ImapSource) -> SourceError:
    with pytest.raises(SourceError) as e:
        source.open()
    assert "token-" not in e.value.message
    return e.value


@pytest.mark.parametrize(
    "offered",
    [
        MICROSOFT,
        "IMAP4rev1 AUTH=XOAUTH2 STARTTLS",
        "IMAP4rev1 AUTH=XOAUTH2 AUTH=OAUTHBEARER SASL-IR STARTTLS",
        "IMAP4rev1 AUTH=OAUTHBEARER SASL-IR STARTTLS",
        "IMAP4rev1 AUTH=OAUTHBEARER STARTTLS",
    ],
)
def test_a_good_token_opens_the_mailbox(server: FakeImap, make: Callable[..., ImapSource], offered: str) -> None:
    server.quirks.before_login = offered
    server.quirks.tokens.good = {"token-1": USER}
    assert not make().open().insecure
    assert server.quirks.tokens.shown == [(USER, "token-1")]
    used = next(command for command in server.commands if command.startswith("AUTHENTICATE")).split()
    assert used[1] == ("XOAUTH2" if "XOAUTH2" in offered else "OAUTHBEARER")
    assert len(used) == (3 if "SASL-IR" in offered else 2)


def test_a_token_that_is_too_long_for_a_command_goes_alone(
    server: FakeImap, make: Callable[..., ImapSource], bearer: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bearer, "token", lambda **_: "t" * 7000)
    server.quirks.tokens.good = {"t" * 7000: USER}
    make().open()
    assert "AUTHENTICATE XOAUTH2" in server.commands


def test_a_name_with_the_separators_of_oauthbearer(server: FakeImap, make: Callable[..., ImapSource]) -> None:
    server.quirks.before_login = "IMAP4rev1 AUTH=OAUTHBEARER STARTTLS"
    server.quirks.tokens.good = {"token-1": "a=b,c@contoso.com"}
    make(shared_mailbox="a=b,c@contoso.com").open()


def test_a_shared_mailbox_is_named_in_place_of_the_user(server: FakeImap, make: Callable[..., ImapSource]) -> None:
    server.quirks.tokens.good = {"token-1": "billing@contoso.com"}
    make(shared_mailbox="billing@contoso.com").open()


@pytest.mark.parametrize("challenge", [{}, GOOGLE_CHALLENGE], ids=["Microsoft", "Google"])
@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_a_refused_token_is_replaced_on_the_same_connection(
    server: FakeImap, make: Callable[..., ImapSource], bearer: Tokens, mechanism: str, challenge: dict[str, str]
) -> None:
    server.quirks.before_login = f"IMAP4rev1 AUTH={mechanism} SASL-IR STARTTLS"
    server.quirks.tokens.good, server.quirks.tokens.challenge = {"token-2": USER}, challenge
    make().open()
    assert bearer.refused == ["token-1"]
    assert len(server.sessions) == 1


def test_a_second_refusal_is_the_last(server: FakeImap, make: Callable[..., ImapSource], bearer: Tokens) -> None:
    server.quirks.tokens.challenge = GOOGLE_CHALLENGE
    server.quirks.tokens.refusal = b"[AUTHENTICATIONFAILED] Invalid credentials (Failure)"
    error = failure(make(provider="Google"))
    assert (error.reason, error.pace) == ("AuthFailed", Pace.SLOW)
    assert "Invalid credentials (Failure); status 400, scope https://mail.google.com/" in error.message
    assert "Forwarding and POP/IMAP" in error.message
    assert [token for _, token in server.quirks.tokens.shown] == ["token-1", "token-2"]


def test_a_server_that_hangs_up_sees_the_other_token_at_the_next_login(
    server: FakeImap, make: Callable[..., ImapSource]
) -> None:
    server.quirks.tokens.good = {"token-2": USER}
    server.quirks.tokens.refusal = b"AUTHENTICATE failed.\r\n* BYE Connection closed. 14\r\n" + CUT
    assert failure(make()).reason == "AuthFailed"
    make().open()


@pytest.mark.parametrize(
    ("flow", "shared", "refusal", "texts"),
    [
        ("Delegated", "", b"AUTHENTICATE failed.", ["Set-CASMailbox -Identity u@contoso.com -ImapEnabled $true"]),
        (
            "Delegated",
            "billing@contoso.com",
            b"AUTHENTICATE failed.",
            ["Add-MailboxPermission -Identity billing@contoso.com -User u@contoso.com -AccessRights FullAccess"],
        ),
        ("Application", "", b"AUTHENTICATE failed.", ["New-ServicePrincipal", "IMAP.AccessAsApp", "Enterprise"]),
        ("Delegated", "", b'AUTHENTICATE failed. [Error="NoADRecipient" X=8]', ["no such mailbox", "-ImapEnabled"]),
        ("Delegated", "", b"IMAP access is disabled for this user", ["IMAP is disabled for this mailbox: Set-CAS"]),
        ("Delegated", "", b"[ALERT] Please log in via your web browser", ["in a web browser"]),
    ],
)
def test_what_a_refusal_of_microsoft_s_asks_an_administrator_to_do(
    server: FakeImap,
    make: Callable[..., ImapSource],
    flow: str,
    shared: str,
    refusal: bytes,
    texts: list[str],
) -> None:
    server.quirks.tokens.refusal = refusal
    error = failure(make(flow=flow, shared_mailbox=shared))
    assert error.reason == "AuthFailed"
    for text in texts:
        assert text in error.message


@pytest.mark.parametrize("flow", ["Delegated", "Application"])
def test_google_has_no_shared_mailboxes(server: FakeImap, make: Callable[..., ImapSource], flow: str) -> None:
    server.quirks.tokens.refusal = b"[AUTHENTICATIONFAILED] Invalid credentials (Failure)"
    error = failure(make(provider="Google", flow=flow, shared_mailbox="billing@example.com"))
    assert "leave out spec.sharedMailbox and name the mailbox in spec.auth.username" in error.message


@pytest.mark.parametrize(
    ("refusal", "seconds"),
    [
        (b"Request is throttled. Suggested Backoff Time: 299910 milliseconds", 299.91),
        (b"[ALERT] Too many simultaneous connections. (Failure)", None),
        (b"[OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)", 3600.0),
    ],
)
def test_throttling_is_no_bad_token(
    server: FakeImap, make: Callable[..., ImapSource], bearer: Tokens, refusal: bytes, seconds: float | None
) -> None:
    server.quirks.tokens.refusal = refusal
    error = failure(make())
    assert (error.reason, error.retry_after) == ("Throttled", pytest.approx(seconds) if seconds else None)
    assert bearer.refused == []


def test_throttling_that_ends_the_connection(server: FakeImap, make: Callable[..., ImapSource]) -> None:
    server.quirks.tokens.good = {"token-1": USER}
    throttled = b"TAG BAD Request is throttled. Suggested Backoff Time: 60000 milliseconds\r\n"
    server.quirks.answers["LIST"] = throttled + b"* BYE Connection closed. 14\r\n" + CUT
    server.quirks.answers["SELECT"] = server.quirks.answers["EXAMINE"] = server.quirks.answers["LIST"]
    error = failure(make())
    assert (error.reason, error.retry_after) == ("Throttled", 60.0)


def test_a_mailbox_that_stays_closed_after_the_login(server: FakeImap, make: Callable[..., ImapSource]) -> None:
    server.quirks.tokens.good = {"token-1": "billing@contoso.com"}
    server.quirks.unopened = True
    error = failure(make(shared_mailbox="billing@contoso.com"))
    assert (error.reason, error.pace) == ("AuthFailed", Pace.SLOW)
    assert "does not open the mailbox billing@contoso.com" in error.message
    assert "Set-CASMailbox -Identity billing@contoso.com" in error.message


@pytest.mark.parametrize("challenge", [b"?", b"[]", b"\xff", 9999 * b"["])
def test_a_challenge_that_says_nothing(challenge: bytes) -> None:
    assert why_refused(base64.b64encode(challenge)) == why_refused(challenge) == ""


@pytest.mark.parametrize("where", ["refusal", "base64", "challenge", "bye"])
def test_a_server_that_repeats_the_token(
    server: FakeImap, make: Callable[..., ImapSource], bearer: Tokens, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    token = 150 * "Ab3dEf9hI-"
    shown = base64.b64encode(f"auth=Bearer {token}".encode()).decode() if where == "base64" else token
    monkeypatch.setattr(bearer, "token", lambda **_: token)
    if where == "challenge":
        server.quirks.tokens.challenge = {"status": "400", "scope": shown}
    elif where == "bye":
        server.quirks.tokens.good = {token: USER}
        for command in ("LIST", "SELECT", "EXAMINE"):
            server.quirks.answers[command] = f"* BYE no {shown}\r\n".encode() + CUT
    else:
        server.quirks.tokens.refusal = f"no {shown}".encode()
    message = failure(make()).message
    assert "…" in message
    assert shown[:24] not in message


def test_a_server_without_a_mechanism_for_tokens(
    server: FakeImap, make: Callable[..., ImapSource], bearer: Tokens
) -> None:
    server.quirks.before_login = "IMAP4rev1 AUTH=PLAIN STARTTLS"
    error = failure(make())
    assert "takes no access tokens (it offers PLAIN)" in error.message
    assert not any(command.startswith("AUTH") for command in server.commands)


def test_no_token_travels_in_the_clear(server: FakeImap, make_source: MakeSource, bearer: Tokens) -> None:
    login = TokenLogin(bearer=bearer, provider="Microsoft", flow="Delegated")
    error = failure(make_source(token=login, encryption="None", allow_insecure_login=True))
    assert error.reason == "InvalidConfiguration"
    assert server.commands == []


def test_an_error_of_the_bearer_is_told_as_it_is(
    server: FakeImap, make: Callable[..., ImapSource], bearer: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*, refused: str = "", claims: str = "") -> str:
        if refused:
            raise SourceError("AuthorizationRequired", "sign in again")
        return "token-1"

    monkeypatch.setattr(bearer, "token", fails)
    assert failure(make()).reason == "AuthorizationRequired"


# ---- passwords ----


def test_a_shared_mailbox_with_a_password(server: FakeImap, make_source: MakeSource) -> None:
    server.quirks.shared = "billing@example.com"
    make_source(shared_mailbox="billing@example.com").open()


def test_a_shared_mailbox_where_login_cannot_name_it(server: FakeImap, make_source: MakeSource) -> None:
    server.quirks.before_login = "IMAP4rev1"
    with pytest.raises(SourceError, match=r"SASL PLAIN.*spec\.sharedMailbox") as e:
        make_source(shared_mailbox="billing@example.com").open()
    assert e.value.reason == "InvalidConfiguration"
    assert server.secrets == []
