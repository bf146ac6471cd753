"""The token endpoints of the double: each grant as Microsoft Entra and Google document it."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tests.servers.authority_assertions import (
    JWT_BEARER,
    check_client_assertion,
    check_service_account,
    issuer,
)
from tests.servers.authority_errors import Answer, Refused, as_json
from tests.servers.authority_http import basic
from tests.servers.authority_model import (
    GOOGLE,
    GOOGLE_SCOPES,
    OIDC,
    Account,
    Call,
    Client,
    Code,
    Request,
    resource_scopes,
)

if TYPE_CHECKING:
    from tests.servers.authority_state import State

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ENTRA = {"grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type", "scope", "claims"}
_ENTRA |= {"client_info"}
_GOOGLE = {"grant_type", "client_id", "client_secret"}
_KNOWN: Mapping[tuple[bool, str], set[str]] = {
    (False, "authorization_code"): _ENTRA | {"code", "redirect_uri", "code_verifier"},
    (False, "refresh_token"): _ENTRA | {"refresh_token"},
    (False, "client_credentials"): _ENTRA,
    (False, DEVICE_GRANT): _ENTRA | {"device_code", "code"},
    (True, "authorization_code"): _GOOGLE | {"code", "redirect_uri", "code_verifier"},
    (True, "refresh_token"): _GOOGLE | {"refresh_token", "scope"},
    (True, JWT_GRANT): {"grant_type", "assertion"},
}


def answer_token(authority: "State", call: Call, request: Request, *, tenant: str) -> Answer:
    """Answers a token request; `tenant` is what the path says, `GOOGLE` for Google."""
    _look(authority, call, google=tenant == GOOGLE)
    if call.form.get("claims"):
        json.loads(call.form["claims"])
    if tenant == GOOGLE:
        return _google(authority, call, request)
    return _entra(authority, call, request, tenant)


def _look(authority: "State", call: Call, *, google: bool) -> None:
    """Records what no correct client sends."""
    if call.query:
        authority.fault(f"token request with a query: {sorted(call.query)}")
    grant = call.form.get("grant_type", "")
    known = _KNOWN.get((google, grant))
    if known is None:
        authority.fault(f"grant type {grant!r} at {call.host}")
    elif unknown := sorted(set(call.form) - known):
        authority.fault(f"{grant} at {call.host} with {unknown}")
    if empty := sorted(name for name, value in call.form.items() if not value):
        authority.fault(f"{grant} at {call.host} with empty {empty}")
    ways = [name for name in ("client_secret", "client_assertion") if call.form.get(name)]
    if len(ways) + bool(basic(call)) > 1:
        authority.fault(f"{grant} at {call.host} proves the client in several ways: {ways}")
    if call.form.get("client_assertion") and call.form.get("client_assertion_type") != JWT_BEARER:
        authority.fault(f"client_assertion_type {call.form.get('client_assertion_type')!r}")


# ---- Microsoft Entra ----


def _entra(authority: "State", call: Call, request: Request, tenant: str) -> Answer:
    form = call.form
    authority.check_tenant(call.host, tenant)
    client = _entra_client(authority, call, request, tenant)
    scopes = tuple(form.get("scope", "").split())
    match form.get("grant_type"):
        case "client_credentials":
            return _application(authority, call, client, tenant, scopes)
        case "authorization_code":
            code = _code(authority, call, client, "AADSTS70008", "AADSTS54005", "AADSTS501481")
            account, granted, nonce = code.account, code.scopes, code.nonce
        case "refresh_token":
            refresh = authority.refreshes.get(_needed(form, "refresh_token"))
            if refresh is None or refresh.client is not client:
                raise Refused("AADSTS70000")
            if refresh.host != call.host:
                raise Refused("AADSTS900440")
            account, granted, nonce = refresh.account, refresh.scopes, ""
            request.account = account.address
            if refresh.refused:
                raise Refused(refresh.refused)
            if refresh.used and authority.strict_reuse:
                raise Refused("AADSTS70000")
            refresh.used = True
        case grant if grant == DEVICE_GRANT:
            account, granted = _device(authority, form, client)
            nonce = ""
        case grant:
            raise Refused("AADSTS70003", str(grant))
    request.account = account.address
    wanted = tuple(s for s in scopes if s not in OIDC)
    asked = scopes if wanted else (*granted, *scopes)
    resource, names = resource_scopes(call.host, asked)
    authority.check_account(account, tenant)
    authority.check_consent(client, account, resource, names)
    again = "offline_access" in (*granted, *scopes)
    token = authority.issue(
        client=client, account=account.address, tenant=account.tenant, resource=resource,
        scopes=authority.consented(client, account, resource) if ".default" in names else names,
        challenge=form.get("claims", ""),
    )  # fmt: skip
    body = {
        "token_type": "Bearer",
        "scope": " ".join(dict.fromkeys(s for s in asked if s not in OIDC)) or "User.Read",
        "expires_in": authority.expires_in,
        "ext_expires_in": authority.expires_in,
        "access_token": token,
    }
    if again:
        body["refresh_token"] = authority.issue_refresh(client, account, call.host, granted)
    if "openid" in (*granted, *scopes):
        body["id_token"] = authority.id_token(client, account, call.host, (*granted, *scopes), nonce)
    if form.get("client_info") == "1":
        body["client_info"] = authority.client_info(account)
    return as_json(body)


def _entra_client(authority: "State", call: Call, request: Request, tenant: str) -> Client:
    """The client, proven.

    Raises:
        Refused: it is unknown in the tenant, or the proof is wrong.
    """
    form = call.form
    name = _needed(form, "client_id")
    client = authority.clients.get(name)
    if client is None or client.google or not authority.is_known_in(client, call.host, tenant):
        raise Refused("AADSTS700016", name)
    if client.refused:
        raise Refused(client.refused, name)
    if secret := form.get("client_secret"):
        request.authentication = "secret"
        if client.public:
            raise Refused("AADSTS700025")
        if secret not in client.secrets:
            raise Refused("AADSTS7000215", name)
    elif assertion := form.get("client_assertion"):
        request.authentication = "assertion"
        if client.public:
            raise Refused("AADSTS700025")
        check_client_assertion(client, assertion, audiences=authority.audiences(call.host, tenant))
    elif not client.public:
        raise Refused("AADSTS7000218")
    return client


def _application(
    authority: "State", call: Call, client: Client, tenant: str, scopes: tuple[str, ...]
) -> Answer:  # fmt: skip
    if client.public:
        raise Refused("AADSTS7000218")
    where = authority.tenant(call.host, tenant)
    if where is None:
        raise Refused("AADSTS50059")
    if len(scopes) != 1 or not scopes[0].endswith("/.default"):
        raise Refused("AADSTS1002012", " ".join(scopes))
    resource, _ = resource_scopes(call.host, scopes)
    # Without a role there is a token all the same; it opens nothing.
    roles = client.application.get(resource, frozenset())
    token = authority.issue(
        client=client,
        account="",
        tenant=where.id,
        resource=resource,
        scopes=roles,
        challenge=call.form.get("claims", ""),
    )
    seconds = authority.expires_in
    body = {"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token}
    return as_json(body)


# ---- Google ----


def _google(authority: "State", call: Call, request: Request) -> Answer:
    form = call.form
    grant = form.get("grant_type", "")
    if grant == JWT_GRANT:
        return _service_account(authority, form, request)
    client = _google_client(authority, call, request)
    refresh_token = ""
    if grant == "authorization_code":
        code = _code(authority, call, client, "google_malformed_code", "google_malformed_code", "google_bad_verifier")
        account, granted, nonce = code.account, code.scopes, code.nonce
        if code.offline:
            refresh_token = authority.issue_refresh(client, account, call.host, granted)
    elif grant == "refresh_token":
        refresh = authority.refreshes.get(_needed(form, "refresh_token", "google_bad_request"))
        if refresh is None or refresh.client is not client:
            raise Refused("google_bad_request")
        account, granted, nonce = refresh.account, refresh.scopes, ""
        request.account = account.address
        if refresh.refused:
            raise Refused(refresh.refused)
        if authority.google_rotates:
            refresh.used = True
            refresh_token = authority.issue_refresh(client, account, call.host, granted)
    else:
        raise Refused("google_unsupported_grant_type", grant)
    request.account = account.address
    authority.check_account(account, GOOGLE)
    asked = tuple(form.get("scope", "").split()) or granted
    if beyond := set(asked) - set(granted):
        raise Refused("google_invalid_scope", str(sorted(beyond)))
    body = _google_body(authority, client.id, account.address, asked)
    if refresh_token:
        body["refresh_token"] = refresh_token
    if "openid" in asked:
        body["id_token"] = authority.id_token(client, account, "accounts.google.com", asked, nonce)
    return as_json(body)


def _google_client(authority: "State", call: Call, request: Request) -> Client:
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
    return as_json(_google_body(authority, account.email, subject or account.email, scopes))


def _google_body(authority: "State", client: str, account: str, scopes: tuple[str, ...]) -> dict[str, object]:
    token = authority.issue_google(client, account, frozenset(scopes))
    return {
        **{"access_token": token, "expires_in": authority.expires_in},
        **{"scope": " ".join(scopes), "token_type": "Bearer"},
    }


# ---- both ----


def _needed(form: Mapping[str, str], name: str, refusal: str = "AADSTS900144") -> str:
    if not form.get(name):
        raise Refused(refusal, name)
    return form[name]


def _code(authority: "State", call: Call, client: Client, unknown: str, used: str, verifier: str) -> Code:
    """The code that is redeemed: once, by its client, with the redirect URI and verifier of its request."""
    code = authority.codes.get(_needed(call.form, "code", unknown))
    if code is None or code.client is not client:
        raise Refused(unknown)
    if code.used:
        raise Refused(used)
    code.used = True
    if call.form.get("redirect_uri") != code.redirect:
        raise Refused("google_redirect_uri_mismatch" if client.google else "AADSTS50011", code.redirect)
    digest = hashlib.sha256(call.form.get("code_verifier", "").encode()).digest()
    if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != code.challenge:
        raise Refused(verifier)
    return code


def _device(authority: "State", form: Mapping[str, str], client: Client) -> tuple[Account, tuple[str, ...]]:
    device = authority.devices.get(_needed(form, "device_code"))
    if device is None or device.client is not client:
        raise Refused("AADSTS70018")
    states = {
        **{"pending": "AADSTS70016", "declined": "authorization_declined"},
        **{"expired": "AADSTS70020", "used": "AADSTS54005"},
    }
    if device.state != "approved":
        raise Refused(states[device.state])
    device.state = "used"
    assert device.account
    return device.account, device.scopes
