"""What Microsoft Entra and Google answer when they refuse, word for word, by name.

Sources: learn.microsoft.com "Microsoft Entra authentication and authorization error codes", RFC 6749, RFC 8628,
developers.google.com "Using OAuth 2.0", and bodies quoted in public issues of the libraries.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

STAMP = "2026-01-01 00:00:00Z"


class Refused(Exception):
    """The authority refuses with one of `ERRORS`; `detail` takes the place of `{}` in its text."""

    def __init__(self, name: str, detail: str = "") -> None:
        super().__init__(f"{name} {detail}")
        self.name, self.detail = name, detail


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An HTTP answer. `length` is what Content-Length says, if not the truth."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """How a refusal looks like; `code` is the number behind AADSTS, 0 for Google's."""

    status: int = 400
    error: str
    text: str = ""
    code: int = 0
    more: Mapping[str, str] = field(default_factory=dict)
    retry_after: str = ""


def _entra(code: int, error: str, text: str, *, status: int = 400, **more: str) -> tuple[str, Refusal]:
    return f"AADSTS{code}", Refusal(status=status, error=error, text=text, code=code, more=more)


_CLAIMS = '{"access_token":{"capolids":{"essential":true,"values":["00000000-0000-0000-0000-000000000001"]}}}'

ERRORS: Mapping[str, Refusal] = dict(
    (
        # A person has to sign in again.
        _entra(50173, "invalid_grant", "The provided grant has expired due to it being revoked, a fresh auth token is "
               "needed. The user might have changed or reset their password. The grant was issued on '2025-12-01' and "
               "the TokensValidFrom date (before which tokens are not valid) for this user is '2026-01-01'.",
               suberror="bad_token"),
        _entra(700082, "invalid_grant", "The refresh token has expired due to inactivity. The token was issued on "
               "2025-06-01T00:00:00.0000000Z and was inactive for 90.00:00:00.", suberror="bad_token"),
        _entra(70000, "invalid_grant", "Provided grant is invalid or malformed.", suberror="bad_token"),
        _entra(70008, "invalid_grant", "The provided authorization code or refresh token has expired due to "
               "inactivity. Send a new interactive authorization request for this user and resource."),
        _entra(70043, "invalid_grant", "The refresh token has expired or is invalid due to sign-in frequency checks by "
               "conditional access.", suberror="token_expired"),
        _entra(700003, "invalid_grant", "Device object was not found in the tenant 'contoso.com' directory.",
               suberror="device_authentication_failed"),
        _entra(54005, "invalid_grant", "OAuth2 Authorization code was already redeemed, please retry with a new valid "
               "code or use an existing refresh token."),
        _entra(501481, "invalid_grant", "The Code_Verifier does not match the code_challenge supplied in the "
               "authorization request."),
        _entra(50057, "invalid_grant", "The user account is disabled."),
        _entra(50034, "invalid_grant", "The user account {} does not exist in the directory."),
        _entra(50020, "invalid_grant", "User account '{}' from identity provider 'live.com' does not exist in tenant "
               "'Contoso' and cannot access the application in that tenant."),
        _entra(50055, "invalid_grant", "The password is expired."),
        _entra(50053, "invalid_grant", "You've tried to sign in too many times with an incorrect user ID or password."),
        _entra(50105, "invalid_grant", "Your administrator has configured the application to block users unless they "
               "are specifically granted ('assigned') access to the application."),
        _entra(50133, "invalid_grant", "The session is not valid due to password expiration or recent password "
               "change."),
        _entra(65001, "invalid_grant", "The user or administrator has not consented to use the application with ID "
               "'{}'. Send an interactive authorization request for this user and resource.",
               suberror="consent_required"),
        _entra(65004, "access_denied", "User declined to consent to access the app."),
        # At a refresh Entra says invalid_grant for these; interaction_required where a browser or a service asked.
        _entra(50076, "invalid_grant", "Due to a configuration change made by your administrator, or because you moved "
               "to a new location, you must use multi-factor authentication to access "
               "'00000002-0000-0ff1-ce00-000000000000'.", suberror="basic_action"),
        _entra(50078, "invalid_grant", "Presented multi-factor authentication has expired due to policies configured "
               "by your administrator, you must refresh your multi-factor authentication to access "
               "'00000002-0000-0ff1-ce00-000000000000'.", suberror="basic_action"),
        _entra(50079, "interaction_required", "Due to a configuration change made by your administrator, or because "
               "you moved to a new location, you must enroll in multi-factor authentication to access "
               "'00000002-0000-0ff1-ce00-000000000000'.", suberror="basic_action", claims=_CLAIMS),
        _entra(53003, "interaction_required", "Access has been blocked by Conditional Access policies. The access "
               "policy does not allow token issuance.", suberror="message_only", claims=_CLAIMS),
        # The client's registration is wrong.
        _entra(700016, "unauthorized_client", "Application with identifier '{}' was not found in the directory "
               "'Contoso'. This can happen if the application has not been installed by the administrator of the "
               "tenant or consented to by any user in the tenant. You may have sent your authentication request to "
               "the wrong tenant."),
        _entra(7000215, "invalid_client", "Invalid client secret provided. Ensure the secret being sent in the "
               "request is the client secret value, not the client secret ID, for a secret added to app '{}'.",
               status=401),
        _entra(7000222, "invalid_client", "The provided client secret keys for app '{}' are expired. Visit the Azure "
               "portal to create new keys for your app.", status=401),
        _entra(7000218, "invalid_client", "The request body must contain the following parameter: 'client_assertion' "
               "or 'client_secret'.", status=401),
        _entra(700025, "invalid_client", "Client is public so neither 'client_assertion' nor 'client_secret' should be "
               "presented.", status=401),
        _entra(700027, "invalid_client", "The certificate with identifier used to sign the client assertion is not "
               "registered on application. [Reason - {}]", status=401),
        _entra(700024, "invalid_client", "Client assertion is not within its valid time range.", status=401),
        _entra(700213, "invalid_client", "No matching federated identity record found for presented assertion subject "
               "'{}'.", status=401),
        _entra(50012, "invalid_client", "Authentication failed. [Reason - {}]", status=401),
        _entra(7000112, "unauthorized_client", "Application '{}' is disabled."),
        _entra(90002, "invalid_request", "Tenant '{}' not found. Check to make sure you have the correct tenant ID and "
               "are signing into the correct cloud."),
        _entra(50059, "invalid_request", "No tenant-identifying information found in either the request or implied by "
               "any provided credentials."),
        _entra(900144, "invalid_request", "The request body must contain the following parameter: '{}'."),
        _entra(900440, "invalid_request", "The request was sent to the wrong cloud instance."),
        _entra(9002313, "invalid_request", "Invalid request. Request is malformed or invalid."),
        _entra(50011, "invalid_request", "The redirect URI '{}' specified in the request does not match the redirect "
               "URIs configured for the application."),
        _entra(28000, "invalid_request", "Provided value for the input parameter scope is not valid because it "
               "contains more than one resource."),
        _entra(70011, "invalid_scope", "The provided request must include a 'scope' input parameter. The provided "
               "value for the input parameter 'scope' is not valid. The scope {} is not valid."),
        _entra(1002012, "invalid_scope", "The provided value for scope {} is not valid. Client credential flows must "
               "have a scope value with /.default suffixed to the resource identifier (application ID URI)."),
        _entra(500011, "invalid_resource", "The resource principal named {} was not found in the tenant named Contoso. "
               "This can happen if the application has not been installed by the administrator of the tenant or "
               "consented to by any user in the tenant."),
        _entra(70003, "unsupported_grant_type", "The app requested an unsupported grant type '{}'."),
        # Transient.
        _entra(90033, "temporarily_unavailable", "A transient error has occurred. Please try again.", status=503),
        _entra(90006, "temporarily_unavailable", "The service is temporarily unavailable. Please retry later.",
               status=503),
        _entra(50033, "server_error", "A transient error has occurred. Please try again.", status=500),
        _entra(50087, "server_error", "A transient error has occurred during single sign-out. Please try again.",
               status=500),
        _entra(50196, "invalid_grant", "The server terminated an operation because it encountered a client request "
               "loop. Please contact your app vendor."),
        # Device code (RFC 8628).
        _entra(70016, "authorization_pending", "OAuth 2.0 device flow error. Authorization is pending. Continue "
               "polling."),
        _entra(70018, "bad_verification_code", "Invalid verification code due to user typing in wrong user code for "
               "device code flow."),
        _entra(70020, "expired_token", "The provided value for the input parameter 'device_code' is not valid. This "
               "device code has expired."),
        ("slow_down", Refusal(error="slow_down", text="Polling too often.")),
        ("authorization_declined", Refusal(error="authorization_declined", text="AADSTS70014: The user declined.")),
        # Google.
        ("google_revoked", Refusal(error="invalid_grant", text="Token has been expired or revoked.")),
        ("google_bad_request", Refusal(error="invalid_grant", text="Bad Request")),
        ("google_malformed_code", Refusal(error="invalid_grant", text="Malformed auth code.")),
        ("google_bad_verifier", Refusal(error="invalid_grant", text="Invalid code verifier.")),
        ("google_missing_verifier", Refusal(error="invalid_grant", text="Missing code verifier.")),
        ("google_rapt", Refusal(error="invalid_grant", text="reauth related error (invalid_rapt)",
                                more={"error_subtype": "invalid_rapt"})),
        ("google_account_deleted", Refusal(error="invalid_grant", text="Account has been deleted")),
        ("google_no_account", Refusal(error="invalid_grant", text="Invalid grant: account not found")),
        ("google_no_subject", Refusal(error="invalid_grant", text="Invalid email or User ID")),
        ("google_bad_signature", Refusal(error="invalid_grant", text="Invalid JWT Signature.")),
        ("google_bad_jwt", Refusal(error="invalid_grant", text="Invalid JWT: {}")),
        ("google_bad_time", Refusal(error="invalid_grant", text="Invalid JWT: Token must be a short-lived token (60 "
                                    "minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT "
                                    "claim.")),
        ("google_unauthorized_client", Refusal(status=401, error="unauthorized_client", text="Client is unauthorized "
                                               "to retrieve access tokens using this method, or client not authorized "
                                               "for any of the scopes requested.")),
        ("google_invalid_client", Refusal(status=401, error="invalid_client", text="The OAuth client was not found.")),
        ("google_wrong_secret", Refusal(status=401, error="invalid_client", text="The provided client secret is "
                                        "invalid.")),
        ("google_deleted_client", Refusal(status=401, error="deleted_client", text="The OAuth client was deleted.")),
        ("google_disabled_client", Refusal(status=401, error="disabled_client", text="The OAuth client was disabled.")),
        ("google_redirect_uri_mismatch", Refusal(error="redirect_uri_mismatch", text="Bad Request")),
        ("google_unsupported_grant_type", Refusal(error="unsupported_grant_type", text="Invalid grant_type: {}")),
        ("google_invalid_scope", Refusal(error="invalid_scope", text="Some requested scopes were invalid: {}")),
        ("google_internal_failure", Refusal(status=500, error="internal_failure", text="Internal Error")),
        ("google_rate_limit", Refusal(status=403, error="rate_limit_exceeded", text="Rate Limit Exceeded")),
        # Either.
        ("429", Refusal(status=429, error="temporarily_unavailable", text="Too many requests.", retry_after="7")),
        ("429_date", Refusal(status=429, error="temporarily_unavailable", text="Too many requests.",
                             retry_after="Fri, 01 Jan 2100 00:00:00 GMT")),
        ("429_bare", Refusal(status=429, error="temporarily_unavailable", text="Too many requests.")),
        ("500", Refusal(status=500, error="server_error", text="Internal error.")),
        ("503", Refusal(status=503, error="temporarily_unavailable", text="Unavailable.", retry_after="11")),
        ("504", Refusal(status=504, error="temporarily_unavailable", text="Gateway timeout.")),
    )
)  # fmt: skip

_PAGE = b"<!DOCTYPE html><html><head><title>Service unavailable</title></head><body><h1>Sorry</h1></body></html>"


def _odd(text: str, *, status: int = 200) -> Answer:
    return Answer(status=status, body=text.encode(), headers={"Content-Type": "application/json"})


def _discovery(host: str) -> Answer:
    """A document that leads somewhere else."""
    names = ("issuer", "authorization_endpoint", "token_endpoint")
    return _odd(json.dumps({name: f"https://{host}/elsewhere" for name in names}))


BROKEN: Mapping[str, Answer] = {
    "html": Answer(status=200, body=_PAGE, headers={"Content-Type": "text/html"}),
    "html_503": Answer(status=503, body=_PAGE, headers={"Content-Type": "text/html"}),
    "html_403": Answer(status=403, body=_PAGE, headers={"Content-Type": "text/html"}),
    # Whoever follows it gives the secret away to another host; the double records that.
    "redirect": Answer(status=307, headers={"Location": "https://www.googleapis.com/elsewhere"}),
    "empty": Answer(status=200, headers={"Content-Type": "application/json"}),
    "list": Answer(status=200, body=b"[]", headers={"Content-Type": "application/json"}),
    "no_token": Answer(status=200, body=b'{"token_type":"Bearer"}', headers={"Content-Type": "application/json"}),
    "huge": Answer(
        status=200, body=b'{"a":"' + 64_000_000 * b"x" + b'"}', headers={"Content-Type": "application/json"}
    ),
    "object": _odd("{}"),
    "deep": _odd(100_000 * "["),
    "deep_400": _odd(100_000 * "[", status=400),
    "endless": _odd('{"access_token":"x","expires_in":1e999}'),
    "very_long": _odd('{"access_token":"x","expires_in":99999999999999}'),
    "unspeakable": _odd('{"access_token":"\\ud800","expires_in":3600}'),
    "id_token": _odd('{"access_token":"x","expires_in":3600,"id_token":"junk"}'),
    "scope": _odd('{"access_token":"x","expires_in":3600,"scope":5}'),
    # As for the redirect.
    "elsewhere": _discovery("www.googleapis.com"),
    "other_cloud": _discovery("login.microsoftonline.us"),
    "cut_body": Answer(status=200, body=b'{"access_', length=2_000, headers={"Content-Type": "application/json"}),
}
"""Answers that no library expects."""

CONNECTION_FAULTS = ("cut", "lost", "silence", "trickle")
"""Cut before anything is done; done, and the answer never arrives; no answer until the client gives up; an answer that
comes a byte at a time and never ends."""


def refuse(refused: Refused) -> Answer:
    """The answer of the token endpoint."""
    refusal = ERRORS[refused.name]
    text = refusal.text.replace("{}", refused.detail)
    body: dict[str, Any] = {"error": refusal.error}
    if refusal.code:
        trace, correlation = uuid.uuid4(), uuid.uuid4()
        body |= {
            "error_description": f"AADSTS{refusal.code}: {text} Trace ID: {trace} Correlation ID: {correlation} "
            f"Timestamp: {STAMP}",
            "error_codes": [refusal.code],
            "timestamp": STAMP,
            "trace_id": str(trace),
            "correlation_id": str(correlation),
            "error_uri": f"https://login.microsoftonline.com/error?code={refusal.code}",
        }
    elif text:
        body["error_description"] = text
    headers = {"Retry-After": refusal.retry_after} if refusal.retry_after else {}
    return as_json({**body, **refusal.more}, status=refusal.status, headers=headers)


def as_json(body: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer that nobody may keep."""
    fixed = {"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store, no-cache"}
    return Answer(status=status, body=json.dumps(body).encode(), headers={**fixed, **(headers or {})})
