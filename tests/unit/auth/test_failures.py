"""Each answer of an authority has one meaning, and its message tells what to change."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from mailfetch_fetcher.auth import meanings
from mailfetch_fetcher.auth.client import Client
from mailfetch_fetcher.auth.failures import Asked, explain, first_sentence, not_authorized, read_refusal
from mailfetch_fetcher.errors import Pace, SourceError
from mailfetch_fetcher.https import Answer
from tests.servers.authority_errors import BROKEN, ERRORS, Refused, refuse

NOW = datetime(2026, 3, 1, tzinfo=UTC)
COMMAND = "kubectl mailfetch authorize support -n helpdesk"
CLIENT = Client(secret="m365-client", namespace="helpdesk", values={"client-id": "app"})


def asked(provider: str = "Microsoft", *, delegated: bool = True) -> Asked:
    return Asked(
        name="support",
        namespace="helpdesk",
        provider=provider,
        delegated=delegated,
        username="u@contoso.com",
        client=CLIENT,
        tenant="contoso.com",
        host="login.microsoftonline.com" if provider == "Microsoft" else "oauth2.googleapis.com",
    )


def answered(name: str, *, delegated: bool = True) -> SourceError:
    """The meaning of an answer of the double."""
    sent = BROKEN[name] if name in BROKEN else refuse(Refused(name, "detail"))
    answer = Answer(status_code=sent.status, headers=sent.headers, text=sent.body.decode())
    provider = "Google" if name.startswith("google") else "Microsoft"
    return explain(read_refusal(answer, now=NOW), asked(provider, delegated=delegated))


AUTHORIZE = [
    ("AADSTS50173", "password was changed"),
    ("AADSTS700082", "90 days"),
    ("AADSTS70000", "another app"),
    ("AADSTS70008", "90 days"),
    ("AADSTS70043", "sign-in frequency"),
    ("AADSTS700003", "device"),
    ("AADSTS54005", "used before"),
    ("AADSTS501481", "new sign-in"),
    ("AADSTS50057", "disabled"),
    ("AADSTS50034", "does not exist"),
    ("AADSTS50020", "tenant-id"),
    ("AADSTS50055", "expired"),
    ("AADSTS50105", "assign"),
    ("AADSTS50133", "password was changed"),
    ("AADSTS65001", "consent"),
    ("AADSTS65004", "declined"),
    ("AADSTS50076", "MFA"),
    ("AADSTS50078", "MFA"),
    ("AADSTS50079", "MFA"),
    ("AADSTS53003", "Conditional Access"),
    ("google_revoked", "7 days"),
    ("google_bad_request", "taken back"),
    ("google_malformed_code", "taken back"),
    ("google_bad_verifier", "taken back"),
    ("google_missing_verifier", "taken back"),
    ("google_rapt", "session control"),
    ("google_account_deleted", "taken back"),
    ("google_no_account", "taken back"),
    ("google_no_subject", "taken back"),
    ("google_bad_signature", "taken back"),
    ("google_bad_jwt", "taken back"),
    ("google_bad_time", "taken back"),
]
CLIENT_FAULTS = [
    ("AADSTS50053", "AuthFailed", "unlock"),
    ("AADSTS700016", "AuthFailed", "'client-id' and 'tenant-id' of the Secret 'm365-client'"),
    ("AADSTS7000215", "AuthFailed", "key 'client-secret' of the Secret 'm365-client'"),
    ("AADSTS7000222", "AuthFailed", "expired; make a new one"),
    ("AADSTS7000218", "AuthFailed", "'client-secret'"),
    ("AADSTS700025", "AuthFailed", "remove the keys"),
    ("AADSTS700027", "AuthFailed", "'certificate.pem'"),
    ("AADSTS700024", "AuthFailed", "clock"),
    ("AADSTS700213", "AuthFailed", "'federated-token'"),
    ("AADSTS50012", "AuthFailed", "'m365-client'"),
    ("AADSTS7000112", "AuthFailed", "enable it"),
    ("AADSTS90002", "InvalidConfiguration", "key 'tenant-id'"),
    ("AADSTS50059", "InvalidConfiguration", "key 'tenant-id'"),
    ("AADSTS900144", "InvalidConfiguration", "'m365-client'"),
    ("AADSTS900440", "InvalidConfiguration", "spec.auth.oauth2.cloud"),
    ("AADSTS9002313", "InvalidConfiguration", "'m365-client'"),
    ("AADSTS50011", "InvalidConfiguration", "'m365-client'"),
    ("AADSTS28000", "InvalidConfiguration", "'m365-client'"),
    ("AADSTS70011", "InvalidConfiguration", "permissions"),
    ("AADSTS1002012", "InvalidConfiguration", "'m365-client'"),
    ("AADSTS500011", "InvalidConfiguration", "licences"),
    ("AADSTS70003", "InvalidConfiguration", "'m365-client'"),
    ("google_unauthorized_client", "AuthFailed", "same client"),
    ("google_invalid_client", "AuthFailed", "'client-id' and 'client-secret'"),
    ("google_wrong_secret", "AuthFailed", "'client-id' and 'client-secret'"),
    ("google_deleted_client", "AuthFailed", "deleted"),
    ("google_disabled_client", "AuthFailed", "disabled"),
    ("google_redirect_uri_mismatch", "AuthFailed", "'m365-client'"),
    ("google_unsupported_grant_type", "InvalidConfiguration", "'m365-client'"),
    ("google_invalid_scope", "InvalidConfiguration", "Gmail API"),
]
PASSING = [
    ("AADSTS90033", "ConnectionFailed", None),
    ("AADSTS90006", "ConnectionFailed", None),
    ("AADSTS50033", "ConnectionFailed", None),
    ("AADSTS50087", "ConnectionFailed", None),
    ("AADSTS50196", "Throttled", 300.0),
    ("slow_down", "Throttled", None),
    ("google_internal_failure", "ConnectionFailed", None),
    ("google_rate_limit", "Throttled", None),
    ("429", "Throttled", 7.0),
    ("429_date", "Throttled", (datetime(2100, 1, 1, tzinfo=UTC) - NOW).total_seconds()),
    ("429_bare", "Throttled", None),
    ("500", "ConnectionFailed", None),
    ("503", "ConnectionFailed", 11.0),
    ("504", "ConnectionFailed", None),
    ("html", "ConnectionFailed", None),
    ("html_403", "ConnectionFailed", None),
    ("html_503", "ConnectionFailed", None),
    ("redirect", "ConnectionFailed", None),
    ("empty", "ConnectionFailed", None),
    ("list", "ConnectionFailed", None),
    ("no_token", "ConnectionFailed", None),
    ("object", "ConnectionFailed", None),
]
DEVICE = {"AADSTS70016", "AADSTS70018", "AADSTS70020", "authorization_declined"}
"""Only a person at a device meets these."""
NO_ANSWER = {"huge", "cut_body", "deep", "deep_400"}
"""Not answers at all for us."""
NO_REFUSAL = {"endless", "very_long", "unspeakable", "id_token", "scope", "elsewhere", "other_cloud"}
"""tests/integration/oauth/test_odd.py."""


def test_every_answer_of_the_double_is_decided() -> None:
    decided = [row[0] for table in (AUTHORIZE, CLIENT_FAULTS, PASSING) for row in table]
    assert len(decided) == len(set(decided))
    assert {*decided, *DEVICE, *NO_ANSWER, *NO_REFUSAL} == {*ERRORS, *BROKEN}


@pytest.mark.parametrize(("name", "text"), AUTHORIZE)
def test_a_person_must_sign_in_again(name: str, text: str) -> None:
    error = answered(name)
    assert (error.reason, error.pace) == ("AuthorizationRequired", Pace.SLOW)
    assert text in error.message
    assert error.message.endswith(f"authorize again: {COMMAND}")
    if name.startswith("AADSTS"):
        assert f"{name}:" in error.message


@pytest.mark.parametrize("name", [name for name, _ in AUTHORIZE])
def test_an_application_is_never_told_to_sign_in(name: str) -> None:
    error = answered(name, delegated=False)
    assert error.reason in ("AuthFailed", "InvalidConfiguration", "ConnectionFailed")
    assert "mailfetch authorize" not in error.message


@pytest.mark.parametrize(("name", "reason", "text"), CLIENT_FAULTS)
@pytest.mark.parametrize("delegated", [True, False])
def test_the_registration_is_wrong(name: str, reason: str, text: str, *, delegated: bool) -> None:
    if name == "google_unauthorized_client" and not delegated:
        text = "Domain-wide delegation"
    error = answered(name, delegated=delegated)
    assert error.reason == reason
    assert text in error.message
    assert "mailfetch authorize" not in error.message


@pytest.mark.parametrize(("name", "reason", "seconds"), PASSING)
@pytest.mark.parametrize("delegated", [True, False])
def test_trouble_that_passes_never_looks_like_bad_credentials(
    name: str, reason: str, seconds: float | None, *, delegated: bool
) -> None:
    error = answered(name, delegated=delegated)
    assert (error.reason, error.retry_after) == (reason, seconds)


@pytest.mark.parametrize(
    ("name", "reason", "text"),
    [
        ("AADSTS65001", "AuthFailed", "Grant admin consent"),
        ("google_no_subject", "InvalidConfiguration", "spec.auth.username"),
        ("google_bad_signature", "AuthFailed", "'service-account.json' of the Secret 'm365-client'"),
        ("google_no_account", "AuthFailed", "service account was deleted"),
        ("google_account_deleted", "AuthFailed", "u@contoso.com was deleted"),
        ("google_bad_time", "ConnectionFailed", "clock"),
    ],
)
def test_what_only_an_application_meets(name: str, reason: str, text: str) -> None:
    error = answered(name, delegated=False)
    assert error.reason == reason
    assert text in error.message


@pytest.mark.parametrize("code", sorted({*meanings.AUTHORIZE, *meanings.CLIENT, *meanings.TRANSIENT, meanings.LOOP}))
@pytest.mark.parametrize("delegated", [True, False])
def test_every_code_that_we_know_makes_a_message(code: int, *, delegated: bool) -> None:
    body = {"error": "invalid_grant", "error_description": f"AADSTS{code}: Something. More."}
    told = explain(_read(body), asked(delegated=delegated))
    assert f"AADSTS{code}: Something" in told.message
    assert "More" not in told.message
    assert not re.search(r"[{}]", told.message)
    if code in meanings.AUTHORIZE and delegated:
        assert COMMAND in told.message


def test_a_code_that_nobody_knows_shows_itself() -> None:
    body = {"error": "invalid_grant", "error_description": "AADSTS99999: A new reason. Trace ID: 1", "error_codes": [1]}
    error = explain(_read(body), asked())
    assert error.reason == "AuthorizationRequired"
    assert "invalid_grant: AADSTS99999: A new reason)" in error.message
    strange = explain(_read({"error": "brand_new"}), asked())
    assert strange.reason == "AuthFailed"
    assert "brand_new" in strange.message


def test_google_s_other_shape() -> None:
    error = explain(
        _read({"error": {"code": 403, "status": "RESOURCE_EXHAUSTED", "message": "Quota."}}), asked("Google")
    )
    assert error.reason == "Throttled"


@pytest.mark.parametrize("body", [{"error": 7}, {"error_codes": "x"}, {"error_description": ["x"]}, {"error": None}])
def test_nonsense_is_survived(body: dict[str, Any]) -> None:
    assert explain(_read(body), asked()).reason == "ConnectionFailed"


def test_no_token_and_nothing_that_changes_is_shown() -> None:
    token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJhcGk6Ly9BenVyZUFEIn0.c2lnbmF0dXJl"
    text = f"AADSTS9: The assertion {token} is bad Trace ID: 12 Correlation ID: 13 Timestamp: now"
    assert first_sentence(text) == "AADSTS9: The assertion … is bad"
    assert len(first_sentence("word " * 500)) <= 240


def test_nobody_has_authorized_yet() -> None:
    error = not_authorized("support-token", asked())
    assert error.reason == "AuthorizationRequired"
    assert "Secret 'support-token'" in error.message
    assert COMMAND in error.message


def _read(body: dict[str, Any], *, status: int = 400) -> Any:
    return read_refusal(Answer(status_code=status, headers={}, text=json.dumps(body)), now=NOW)
