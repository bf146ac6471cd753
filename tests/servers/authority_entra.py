"""The token endpoint of Microsoft Entra: codes, refresh tokens, device codes, and the flow Application."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.servers.authority_assertions import check_client_assertion
from tests.servers.authority_errors import Answer, Refused, as_json
from tests.servers.authority_grants import DEVICE_GRANT, look_at_grant, needed, redeem_code, redeem_device
from tests.servers.authority_identity import client_info, make_id_token
from tests.servers.authority_model import OIDC, PERSONAL, Account, Call, Client, Refresh, Request, resource_scopes

if TYPE_CHECKING:
    from tests.servers.authority_state import State


@dataclass(frozen=True, kw_only=True)
class _Granted:
    """What a code, a refresh token or a device code stands for."""

    account: Account
    scopes: tuple[str, ...]
    nonce: str = ""
    refresh: Refresh | None = None


def answer_entra(authority: "State", call: Call, request: Request, *, tenant: str) -> Answer:
    """Answers a token request; `tenant` is what the path says."""
    look_at_grant(authority, call, google=False)
    authority.check_tenant(call.host, tenant)
    client = _client(authority, call, request, tenant)
    if call.form.get("grant_type") == "client_credentials":
        return _application(authority, call, client, tenant)
    granted = _granted(authority, call, client, request)
    account = granted.account
    request.account = account.address
    scopes = tuple(call.form.get("scope", "").split())
    everything = dict.fromkeys((*granted.scopes, *scopes))
    asked = scopes if set(scopes) - OIDC else tuple(everything)
    resource, names = resource_scopes(call.host, asked)
    authority.check_account(account, tenant)
    if not authority.is_known_in(client, call.host, account.tenant):
        raise Refused("AADSTS700016", client.id)
    authority.check_consent(client, account, resource, names)
    if granted.refresh:
        granted.refresh.used = True
    token = authority.issue(
        client=client,
        account=account.address,
        tenant=account.tenant,
        resource=resource,
        scopes=authority.consented(client, account, resource) if ".default" in names else names,
        challenge=call.form.get("claims", ""),
    )
    body = _body(authority, token) | {"scope": " ".join(s for s in dict.fromkeys(asked) if s not in OIDC)}
    if "offline_access" in everything:
        body["refresh_token"] = authority.issue_refresh(client, account, call.host, granted.scopes)
    if "openid" in everything:
        body["id_token"] = authority.keep(make_id_token(client, account, call.host, everything, granted.nonce))
    if call.form.get("client_info") == "1":
        body["client_info"] = client_info(account)
    return as_json(body)


def _body(authority: "State", token: str) -> dict[str, object]:
    seconds = authority.expires_in
    return {"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token}


def _granted(authority: "State", call: Call, client: Client, request: Request) -> _Granted:
    match call.form.get("grant_type"):
        case "authorization_code":
            code = redeem_code(authority, call, client, "AADSTS70008", "AADSTS54005", "AADSTS501481")
            return _Granted(account=code.account, scopes=code.scopes, nonce=code.nonce)
        case "refresh_token":
            refresh = authority.refreshes.get(needed(call.form, "refresh_token"))
            if refresh is None or refresh.client is not client:
                raise Refused("AADSTS70000")
            request.account = refresh.account.address
            if refresh.host != call.host:
                raise Refused("AADSTS900440")
            if refresh.refused or (refresh.used and authority.strict_reuse):
                raise Refused(refresh.refused or "AADSTS70000")
            return _Granted(account=refresh.account, scopes=refresh.scopes, refresh=refresh)
        case grant if grant == DEVICE_GRANT:
            account, scopes = redeem_device(authority, call.form, client)
            return _Granted(account=account, scopes=scopes)
        case grant:
            raise Refused("AADSTS70003", str(grant))


def _client(authority: "State", call: Call, request: Request, tenant: str) -> Client:
    """The client, proven.

    Raises:
        Refused: it is unknown in the tenant, or the proof is wrong.
    """
    form = call.form
    name = needed(form, "client_id")
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


def _application(authority: "State", call: Call, client: Client, tenant: str) -> Answer:
    if client.public:
        raise Refused("AADSTS7000218")
    where = authority.tenant(call.host, tenant)
    if where is None or where.id == PERSONAL:
        raise Refused("AADSTS50059")
    scopes = tuple(call.form.get("scope", "").split())
    if len(scopes) != 1 or not scopes[0].endswith("/.default"):
        raise Refused("AADSTS1002012", " ".join(scopes))
    resource, _ = resource_scopes(call.host, scopes)
    token = authority.issue(
        client=client,
        account="",
        tenant=where.id,
        resource=resource,
        # Without a role there is a token all the same; it opens nothing.
        scopes=client.application.get(resource, frozenset()),
        challenge=call.form.get("claims", ""),
    )
    return as_json(_body(authority, token))
