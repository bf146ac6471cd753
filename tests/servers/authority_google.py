"""The token endpoint of Google: codes, refresh tokens, and service accounts that speak for users."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tests.servers.authority_assertions import check_service_account, issuer
from tests.servers.authority_errors import Answer, Refused, as_json
from tests.servers.authority_grants import JWT_GRANT, look_at_grant, needed, redeem_code
from tests.servers.authority_http import basic
from tests.servers.authority_identity import make_id_token
from tests.servers.authority_model import GOOGLE, GOOGLE_SCOPES, Call, Client, Refresh, Request

if TYPE_CHECKING:
    from tests.servers.authority_state import State


def answer_google(authority: "State", call: Call, request: Request) -> Answer:
    """Answers a token request."""
    look_at_grant(authority, call, google=True)
    form = call.form
    grant = form.get("grant_type", "")
    if grant == JWT_GRANT:
        return _service_account(authority, form, request)
    client = _client(authority, call, request)
    nonce = ""
    if grant == "authorization_code":
        code = redeem_code(
            authority, call, client, "google_malformed_code", "google_malformed_code", "google_bad_verifier"
        )
        account, granted, nonce, again = code.account, code.scopes, code.nonce, code.offline
    elif grant == "refresh_token":
        refresh = _refresh(authority, form, client, request)
        account, granted, again = refresh.account, refresh.scopes, authority.google_rotates
    else:
        raise Refused("google_unsupported_grant_type", grant)
    request.account = account.address
    authority.check_account(account, GOOGLE)
    asked = tuple(form.get("scope", "").split()) or granted
    if beyond := set(asked) - set(granted):
        raise Refused("google_invalid_scope", str(sorted(beyond)))
    body = _body(authority, client.id, account.address, asked)
    if again:
        body["refresh_token"] = authority.issue_refresh(client, account, call.host, granted)
    if "openid" in asked:
        body["id_token"] = authority.keep(make_id_token(client, account, "accounts.google.com", asked, nonce))
    return as_json(body)


def _refresh(authority: "State", form: Mapping[str, str], client: Client, request: Request) -> Refresh:
    refresh = authority.refreshes.get(needed(form, "refresh_token", "google_bad_request"))
    if refresh is None or refresh.client is not client:
        raise Refused("google_bad_request")
    request.account = refresh.account.address
    if refresh.refused or (refresh.used and authority.strict_reuse):
        raise Refused(refresh.refused or "google_revoked")
    refresh.used = authority.google_rotates
    return refresh


def _client(authority: "State", call: Call, request: Request) -> Client:
    user, password = basic(call) or (call.form.get("client_id", ""), call.form.get("client_secret", ""))
    request.client, request.authentication = user, "secret"
    client = authority.clients.get(user)
    if client is None or not client.google:
        raise Refused("google_invalid_client")
    if client.refused:
        raise Refused(client.refused)
    if password not in client.secrets:
        raise Refused("google_wrong_secret")
    return client


def _service_account(authority: "State", form: Mapping[str, str], request: Request) -> Answer:
    assertion = form.get("assertion", "")
    request.client, request.authentication = issuer(assertion), "assertion"
    account = authority.service_accounts.get(request.client)
    claims = check_service_account(account, assertion)
    assert account
    subject, scopes = str(claims.get("sub", "")).lower(), tuple(str(claims.get("scope", "")).split())
    request.scopes, request.account = scopes, subject
    if bad := set(scopes) - GOOGLE_SCOPES:
        raise Refused("google_invalid_scope", str(sorted(bad)))
    if subject:
        if subject.partition("@")[2] not in account.domains or not set(scopes) <= account.scopes or not scopes:
            raise Refused("google_unauthorized_client")
        person = authority.accounts.get(subject)
        if person is None or person.tenant != GOOGLE:
            raise Refused("google_no_subject")
        authority.check_account(person, GOOGLE)
    return as_json(_body(authority, account.email, subject or account.email, scopes))


def _body(authority: "State", client: str, account: str, scopes: tuple[str, ...]) -> dict[str, object]:
    token = authority.issue_google(client, account, frozenset(scopes))
    return {
        **{"access_token": token, "expires_in": authority.expires_in},
        **{"scope": " ".join(scopes), "token_type": "Bearer"},
    }
