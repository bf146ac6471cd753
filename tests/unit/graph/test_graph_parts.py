"""The pure parts of the Graph source: what a page says, what an error means, which links are followed."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from mailfetch_fetcher.contract.spec import parse_spec
from mailfetch_fetcher.errors import Pace, SourceError
from mailfetch_fetcher.sources.graph_cursor import Cursor, decode, local
from mailfetch_fetcher.sources.graph_errors import Refused, challenge, no_inbox, read_error, refused
from mailfetch_fetcher.sources.graph_pages import entry_of, fold, id_of, moment
from mailfetch_fetcher.sources.graph_select import read_since
from mailfetch_fetcher.sources.graph_settings import GraphSettings, from_spec

SETTINGS = GraphSettings(host="graph.microsoft.com", mailbox="u@contoso.com", base="/v1.0/users/u@contoso.com")
DELEGATED = replace(SETTINGS, authorize="AUTHORIZE")
SHARED = replace(DELEGATED, mailbox="s@contoso.com", shared=True)
PLACE = "/v1.0/users/u@contoso.com F"


def spec(**changes: Any) -> dict[str, Any]:
    oauth2 = {"clientSecretRef": {"name": "c"}, **changes.pop("oauth2", {})}
    auth = {"type": "MicrosoftOAuth2", "username": "u+1@contoso.com", "oauth2": oauth2}
    return {"protocol": "MicrosoftGraph", "auth": auth, **changes}


@pytest.mark.parametrize(
    ("changes", "host", "base"),
    [
        ({}, "graph.microsoft.com", "/v1.0/users/u%2B1@contoso.com"),
        ({"oauth2": {"cloud": "China"}}, "microsoftgraph.chinacloudapi.cn", "/v1.0/users/u%2B1@contoso.com"),
        ({"sharedMailbox": "a/b@contoso.com"}, "graph.microsoft.com", "/v1.0/users/a%2Fb@contoso.com"),
        ({"oauth2": {"flow": "Application"}}, "graph.microsoft.com", "/v1.0/users/u%2B1@contoso.com"),
        (
            {"oauth2": {"flow": "Application", "cloud": "USGovernmentDoD"}, "sharedMailbox": "s@contoso.com"},
            *("dod-graph.microsoft.us", "/v1.0/users/s@contoso.com"),
        ),
    ],
)
def test_where_a_mailbox_is(changes: dict[str, Any], host: str, base: str) -> None:
    made = from_spec(parse_spec(spec(**changes)), authorize="AUTHORIZE", ca=None)
    assert (made.host, made.base, made.folder) == (host, base, "INBOX")


def test_a_page_is_folded() -> None:
    entries, removed = fold(
        [
            {"id": "b", "receivedDateTime": "2026-01-02T00:00:00Z", "isRead": False, "parentFolderId": "F"},
            {"id": "a", "receivedDateTime": "2026-01-02T00:00:00Z"},
            {"id": "gone", "@removed": {"reason": "deleted"}},
            {"id": "back", "@removed": {"reason": "changed"}},
            {"id": "gone", "@removed": {"reason": "deleted"}},
            {"id": "back", "receivedDateTime": "2026-01-01T00:00:00Z"},
            {"id": "b", "isRead": True},
            {"id": "A", "receivedDateTime": None},
        ]
    )
    assert [entry.id for entry in entries] == ["A", "back", "a", "b"]
    assert (entries[3].read, entries[3].received, entries[3].folder) == (True, 1767312000, "F")
    assert removed == ["gone", "back"], "whether it is back nobody can say from the page"


def test_keys_are_stable_and_lead_back() -> None:
    entry = entry_of({"id": "AAkALg_-+/ a="})
    assert entry.key == "AAkALg_-%2B%2F%20a=/1"
    assert " " not in entry.key
    assert id_of(entry.key) == entry.id


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("1970-01-01T00:01:00Z", 60), ("1970-01-01T00:01:00.123Z", 60), ("1970-01-01T01:01:00+01:00", 60)],
)
def test_moments(value: str, seconds: int) -> None:
    assert moment(value) == seconds


@pytest.mark.parametrize("value", [None, "", "soon", 7, "2026-13-01T00:00:00Z"])
def test_no_moments(value: object) -> None:
    assert moment(value) is None


@pytest.mark.parametrize(
    ("link", "path"),
    [
        ("https://graph.microsoft.com/v1.0/users/u/x?$skiptoken=a%2Fb", "/v1.0/users/u/x?$skiptoken=a%2Fb"),
        ("https://GRAPH.microsoft.com:443/v1.0/users('u')/x?a", "/v1.0/users('u')/x?a"),
    ],
)
def test_links_are_kept_without_their_host(link: str, path: str) -> None:
    assert local(link, SETTINGS) == path


@pytest.mark.parametrize(
    "link",
    [
        *("http://graph.microsoft.com/v1.0/x", "https://graph.microsoft.com.evil.test/v1.0/x", "//evil.test/v1.0/x"),
        *("https://graph.microsoft.com:8443/v1.0/x", "https://graph.microsoft.com:x/v1.0/x", "/v1.0/x", "", None, 7),
        *("https://graph.microsoft.com@evil.test/v1.0/x", "https://u@graph.microsoft.com/v1.0/x"),
        *("https://graph.microsoft.com/beta/x", "https://graph.microsoft.com/v1.0/x#y", "https://[::1/v1.0/x"),
        "https://graph.microsoft.us/v1.0/x",
    ],
)
def test_no_other_link_is_followed(link: object) -> None:
    with pytest.raises(SourceError, match="leads elsewhere"):
        local(link, SETTINGS)


def test_cursors() -> None:
    made = Cursor(place=PLACE, link="/v1.0/x?y", again=True)
    assert decode(made.encode(), place=PLACE) == made
    assert decode("", place=PLACE) == Cursor(place=PLACE)
    elsewhere = Cursor(place=PLACE, again=True)
    assert (
        decode(made.encode(), place="/v1.0/users/u@contoso.com G")
        == decode("?", place="/v1.0/users/u@contoso.com G")
        == Cursor(place="/v1.0/users/u@contoso.com G", again=True)
    )
    assert decode('{"link": 1}', place=PLACE) == decode("listed", place=PLACE) == elsewhere


def error(code: str, text: str = "Said.") -> bytes:
    return json.dumps({"error": {"code": code, "message": text}}).encode()


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        *((status, "TooManyRequests", "Throttled") for status in (429, 503, 504, 509)),
        (401, "InvalidAuthenticationToken", "AuthFailed"),
        (403, "ErrorAccessDenied", "AuthFailed"),
        (404, "MailboxNotEnabledForRESTAPI", "InvalidConfiguration"),
        (404, "ResourceNotFound", "InvalidConfiguration"),
        (400, "ErrorInvalidUser", "InvalidConfiguration"),
        (500, "InternalServerError", "ConnectionFailed"),
        (404, "ErrorItemNotFound", "ConnectionFailed"),
        (302, "", "ConnectionFailed"),
    ],
)
def test_reasons(status: int, code: str, reason: str) -> None:
    found = refused(SETTINGS, status=status, headers={"Retry-After": "17"}, body=error(code))
    assert found.reason == reason
    assert f"HTTP {status}" in found.message
    assert code in found.message
    assert found.retry_after == (17.0 if reason == "Throttled" else None)


@pytest.mark.parametrize(
    ("status", "code", "gone"),
    [
        (404, "ErrorItemNotFound", True),
        (404, "ErrorFolderNotFound", True),
        (404, "MailboxNotEnabledForRESTAPI", False),
        (404, "ResourceNotFound", False),
        (404, "UnknownError", False),
        (404, "", False),
        (410, "ErrorItemNotFound", False),
    ],
)
def test_what_shows_that_something_is_not_there(status: int, code: str, *, gone: bool) -> None:
    found = refused(SETTINGS, status=status, headers={}, body=error(code))
    assert isinstance(found, Refused)
    assert found.not_found == gone


def test_a_mailbox_that_comes_and_goes_is_looked_for_at_once() -> None:
    found = refused(SETTINGS, status=404, headers={}, body=error("MailboxNotEnabledForRESTAPI"))
    assert (found.reason, found.pace) == ("InvalidConfiguration", Pace.QUICK)


@pytest.mark.parametrize(
    ("settings", "reason", "texts"),
    [
        (DELEGATED, "AuthorizationRequired", ["'u@contoso.com'; see that this account is the one that authorizes"]),
        (SHARED, "AuthorizationRequired", ["Add-MailboxPermission -Identity s@contoso.com", "Mail.ReadWrite.Shared"]),
        (SETTINGS, "AuthFailed", ["the app access to the mailbox 'u@contoso.com'", "New-ManagementRoleAssignment"]),
    ],
    ids=["own", "shared", "app"],
)
@pytest.mark.parametrize("status", [403, 404])
def test_whoever_is_denied_a_mailbox_is_told_what_to_change(
    settings: GraphSettings, reason: str, texts: list[str], status: int
) -> None:
    """Exchange says 404 where an account may open shared mailboxes, but not this one."""
    found = refused(settings, status=status, headers={}, body=error("ErrorSaid"))
    assert isinstance(found, Refused)
    told = no_inbox(settings, found) if found.not_found else found
    assert told.reason == reason
    assert all(text in told.message for text in (*texts, f"HTTP {status} ErrorSaid"))
    assert ("authorize again: AUTHORIZE" in told.message) == bool(settings.authorize)


TOKEN = "eyJ0eXAi." + "Ab3dEf9hIj-_" * 16


@pytest.mark.parametrize(
    "said",
    [("x", f"The token {TOKEN} is bad."), (TOKEN, ""), ("x", "a " * 145 + TOKEN), ("x " * 35 + TOKEN, "")],
    ids=["text", "code", "cut text", "cut code"],
)
@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_a_token_that_is_sent_back_is_not_told(status: int, said: tuple[str, str]) -> None:
    assert TOKEN[:8] not in refused(SETTINGS, status=status, headers={}, body=error(*said)).message


@pytest.mark.parametrize(
    ("status", "code", "lost"),
    [
        (410, "", True),
        (410, "SyncStateNotFound", True),
        (400, "syncStateInvalid", True),
        (404, "SyncStateNotFound", True),
        (404, "ErrorItemNotFound", False),
        (400, "BadRequest", False),
        (500, "SyncStateNotFound", False),
    ],
)
def test_expired_links(status: int, code: str, lost: bool) -> None:
    found = refused(SETTINGS, status=status, headers={}, body=error(code))
    assert isinstance(found, Refused)
    assert found.sync_lost is lost


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"7", b'{"error": "no"}', b'{"error": []}', b"[" * 100_000])
def test_bodies_that_say_nothing(body: bytes) -> None:
    assert read_error(body) == ("", "")


def test_a_long_text_is_cut() -> None:
    assert len(read_error(error("x" * 999, "y \r\n" * 999))[1]) <= 300


def test_claims() -> None:
    asked = json.dumps({"access_token": {"nbf": {"essential": True, "value": "1?>"}}})
    for encoded in (base64.b64encode(asked.encode()), base64.urlsafe_b64encode(asked.encode()).rstrip(b"=")):
        header = f'Bearer realm="", error="insufficient_claims", claims="{encoded.decode()}"'
        assert challenge(header) == asked
    assert challenge('Bearer realm=""') == challenge('Bearer claims="A"') == ""


@pytest.mark.parametrize("wanted", ["uid:5", "since:yesterday", "since:2026-02-30", ""])
def test_what_cannot_be_selected(wanted: str) -> None:
    with pytest.raises(ValueError, match="since:"):
        read_since(wanted)
