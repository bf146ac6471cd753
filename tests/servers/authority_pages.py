"""What the double of the authorities answers besides tokens: discovery, sign-in, device codes, introspection."""

import html
import secrets
import urllib.parse
from typing import TYPE_CHECKING

from tests.servers.authority_errors import ERRORS, Answer, Refused, as_json
from tests.servers.authority_http import basic, page, redirect
from tests.servers.authority_identity import client_info, public_keys
from tests.servers.authority_model import (
    GOOGLE,
    GOOGLE_SCOPES,
    OIDC,
    PERSONAL,
    Account,
    Call,
    Client,
    Code,
    Device,
    Request,
    resource_scopes,
)

if TYPE_CHECKING:
    from tests.servers.authority_state import State

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_AUTHORIZE = {
    *("client_id", "response_type", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method"),
    *("nonce", "prompt", "login_hint"),
}
# With a login hint msal adds the mailbox, by which Microsoft routes.
_ENTRA_AUTHORIZE = _AUTHORIZE | {"client_info", "response_mode", "domain_hint", "claims", "X-AnchorMailbox"}
_GOOGLE_AUTHORIZE = _AUTHORIZE | {"access_type", "include_granted_scopes"}
_ALIASES = (
    ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"],
    ["login.partner.microsoftonline.cn", "login.chinacloudapi.cn"],
    ["login.microsoftonline.us", "login.usgovcloudapi.net"],
)


def answer_discovery(authority: "State", host: str, tenant: str) -> Answer:
    """The OpenID configuration of a tenant."""
    try:
        authority.check_tenant(host, tenant)
    except Refused as e:
        return as_json({"error": "invalid_tenant", "error_description": f"AADSTS90002: Tenant '{e.detail}' not found."},
                       status=400)  # fmt: skip
    found = authority.tenant(host, tenant)
    name = found.id if found else PERSONAL if tenant == "consumers" else tenant
    base = f"https://{host}/{name}"
    issuer = f"https://{host}/{'{tenantid}' if not found and tenant != 'consumers' else name}/v2.0"
    return as_json(
        {
            "issuer": issuer,
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
            "jwks_uri": f"{base}/discovery/v2.0/keys",
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": [
                "client_secret_post", "private_key_jwt", "client_secret_basic", "self_signed_tls_client_auth",
            ],
        }
    )  # fmt: skip


def answer_instances() -> Answer:
    """Which hosts are the same cloud."""
    metadata = [{"preferred_network": a[0], "preferred_cache": a[1 % len(a)], "aliases": a} for a in _ALIASES]
    return as_json(
        {
            "tenant_discovery_endpoint": "https://login.microsoftonline.com/common/.well-known/openid-configuration",
            "api-version": "1.1",
            "metadata": metadata,
        }
    )


def answer_keys() -> Answer:
    """The public key of ID tokens."""
    return as_json({"keys": public_keys()})


# ---- signing in ----


def answer_authorize(authority: "State", call: Call, request: Request, *, tenant: str) -> Answer:
    """The browser comes: whoever `sign_in_as` names signs in and decides, and is sent back to the client."""
    google, query = tenant == GOOGLE, call.query
    _look_at_authorize(authority, call, google=google)
    if not google:
        try:
            authority.check_tenant(call.host, tenant)
        except Refused as e:
            return _told(request, e)
    client = authority.clients.get(query.get("client_id", ""))
    if client is None or client.google != google or not (google or authority.is_known_in(client, call.host, tenant)):
        return _told(
            request, Refused("google_invalid_client" if google else "AADSTS700016", query.get("client_id", ""))
        )
    to = query.get("redirect_uri", "")
    if not _registered(client, to):
        return _told(request, Refused("google_redirect_uri_mismatch" if google else "AADSTS50011", to))
    back = {"state": query["state"]} if "state" in query else {}
    account = authority.accounts.get(authority.sign_in_as.lower())
    if account is None:
        return _told(request, Refused("google_no_account" if google else "AADSTS50034", authority.sign_in_as))
    request.account = account.address
    if authority.decision == "deny":
        request.outcome = "access_denied"
        more = {} if google else {"error_description": f"AADSTS65004: {ERRORS['AADSTS65004'].text}"}
        return redirect(to, {"error": "access_denied", **more, **back})
    try:
        code = _code(authority, call, client, account, tenant)
    except Refused as e:
        request.outcome = e.name
        return redirect(to, {"error": ERRORS[e.name].error, "error_description": f"{e.name}: {e.detail}", **back})
    value = authority.keep("4/" + secrets.token_urlsafe(48) if google else "1.A" + secrets.token_urlsafe(300))
    authority.codes[value] = code
    more = {"scope": " ".join(code.scopes)} if google else {"session_state": secrets.token_hex(16)}
    if not google and query.get("client_info") == "1":
        more["client_info"] = client_info(account)
    return redirect(to, {"code": value, **back, **more})


def _code(authority: "State", call: Call, client: Client, account: Account, tenant: str) -> Code:
    scopes = tuple(call.query.get("scope", "").split())
    prompt = call.query.get("prompt", "")
    authority.check_account(account, tenant)
    if client.google:
        if bad := set(scopes) - GOOGLE_SCOPES:
            raise Refused("google_invalid_scope", str(sorted(bad)))
        scopes = tuple(s for s in scopes if s not in authority.unticked)
        first = (client.id, account.address) not in authority.consents
        offline = call.query.get("access_type") == "offline" and (first or "consent" in prompt.split())
        authority.consent(client, account, "https://mail.google.com", frozenset(scopes))
    else:
        consent(authority, client, account, call.host, scopes)
        offline = "offline_access" in scopes
    return Code(
        client=client, account=account, host=call.host, redirect=call.query["redirect_uri"], scopes=scopes,
        challenge=call.query.get("code_challenge", ""), nonce=call.query.get("nonce", ""), offline=offline,
    )  # fmt: skip


def consent(authority: "State", client: Client, account: Account, host: str, scopes: tuple[str, ...]) -> None:
    """The account consents; at sign-in the scopes may be of several resources."""
    for scope in [scope for scope in scopes if scope not in OIDC] or scopes[:1]:
        resource, names = resource_scopes(host, (scope,))
        authority.consent(client, account, resource, names)


def _look_at_authorize(authority: "State", call: Call, *, google: bool) -> None:
    query = call.query
    if call.method != "GET":
        authority.fault(f"authorization request with {call.method}")
    if unknown := sorted(set(query) - (_GOOGLE_AUTHORIZE if google else _ENTRA_AUTHORIZE)):
        authority.fault(f"authorization request at {call.host} with {unknown}")
    if query.get("response_type") != "code":
        authority.fault(f"response_type {query.get('response_type')!r}")
    if query.get("code_challenge_method") != "S256" or len(query.get("code_challenge", "")) != 43:
        authority.fault("authorization request without PKCE S256")
    if len(query.get("state", "")) < 8:
        authority.fault("authorization request without an unguessable state")
    if not google and "openid" in query.get("scope", "").split() and len(query.get("nonce", "")) < 8:
        authority.fault("authorization request for an ID token without a nonce")


def _registered(client: Client, redirect_uri: str) -> bool:
    """Loopback addresses may have any port (RFC 8252 §7.3); for Google's desktop clients any path as well."""
    to = urllib.parse.urlsplit(redirect_uri)
    for registered in client.redirects:
        known = urllib.parse.urlsplit(registered)
        if client.google and registered == "http://localhost" and to.scheme == "http" and to.hostname in _LOOPBACK:
            return True
        same = (to.scheme, to.hostname, to.path or "/") == (known.scheme, known.hostname, known.path or "/")
        if same and (to.port == known.port or (to.scheme == "http" and to.hostname in _LOOPBACK)):
            return True
    return False


def _told(request: Request, refused: Refused) -> Answer:
    """Errors of which the client must not hear are told to the person."""
    request.outcome = refused.name
    refusal = ERRORS[refused.name]
    text = f"{refused.name if refusal.code else refusal.error}: {refusal.text.replace('{}', refused.detail)}"
    return page(html.escape(text), status=400)


# ---- device codes ----


def answer_device(authority: "State", call: Call, request: Request, *, tenant: str) -> Answer:
    """Gives out a device code and the user code that somebody types elsewhere."""
    if unknown := sorted(set(call.form) - {"client_id", "scope", "claims"}):
        authority.fault(f"device request with {unknown}")
    authority.check_tenant(call.host, tenant)
    name = call.form.get("client_id", "")
    client = authority.clients.get(name)
    if client is None or client.google or not authority.is_known_in(client, call.host, tenant):
        raise Refused("AADSTS700016", name)
    scopes = tuple(call.form.get("scope", "").split())
    resource_scopes(call.host, scopes)
    code, user_code = secrets.token_urlsafe(64), secrets.token_hex(4).upper()
    authority.devices[authority.keep(code)] = Device(client=client, host=call.host, tenant=tenant, scopes=scopes)
    authority.user_codes[user_code] = authority.devices[code]
    address = "https://microsoft.com/devicelogin"
    return as_json(
        {
            "user_code": user_code,
            "device_code": code,
            "verification_uri": address,
            "expires_in": 900,
            "interval": authority.device_interval,
            "message": f"To sign in, use a web browser to open the page {address} and enter the code {user_code} to "
            "authenticate.",
        }
    )


# ---- introspection (RFC 7662), for Dovecot ----

_AUDIENCES = {
    "outlook.office365.com": {"https://outlook.office.com", "https://outlook.office365.com"},
    "imap.gmail.com": {"https://mail.google.com"},
    "pop.gmail.com": {"https://mail.google.com"},
}
_RIGHTS = {
    "IMAP": {"IMAP.AccessAsUser.All", "IMAP.AccessAsApp", "https://mail.google.com/"},
    "POP": {"POP.AccessAsUser.All", "POP.AccessAsApp", "https://mail.google.com/"},
}


def answer_introspection(authority: "State", call: Call, mail_host: str) -> Answer:
    """Whose token it is, and whether it opens `IMAP` and `POP` (the words of its scope) at a mail host."""
    if basic(call) != ("client", "secret"):
        return as_json({"error": "invalid_client"}, status=401)
    claims = authority.tokens.get(call.form.get("token", ""))
    mail = _AUDIENCES.get(mail_host, {f"https://{mail_host}"})
    if claims is None or not claims.alive or (mail_host and claims.audience not in mail):
        return as_json({"active": False})
    rights = " ".join(name for name, scopes in _RIGHTS.items() if scopes & claims.scopes)
    username = claims.account or f"application@{authority.tenants[claims.tenant].domain}"
    return as_json({"active": True, "username": username, "scope": rights, "exp": int(claims.expires)})
