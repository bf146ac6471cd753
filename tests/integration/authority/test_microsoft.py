"""Microsoft's own library gets a person's tokens from the double, by every grant."""

from typing import Any

import jwt
import msal
import pytest
import requests

from tests.integration.authority.microsoft import GRAPH, IMAP, LOGIN, MAIL, claims, confidential, public, sign_in
from tests.servers.authority import Authority
from tests.servers.authority_model import PERSONAL, TENANT

pytestmark = pytest.mark.filterwarnings("ignore:response_mode")


def test_code_flow_of_a_public_client(authority: Authority, http: requests.Session) -> None:
    authority.register_client("app")
    flow, answer = sign_in(http, app := public(http), [IMAP])
    result = app.acquire_token_by_auth_code_flow(flow, answer)
    got = claims(authority, result["access_token"])
    assert (got.account, got.scopes) == ("u@contoso.com", frozenset({"IMAP.AccessAsUser.All"}))
    assert result["refresh_token"] in authority.issued
    assert result["scope"] == IMAP
    assert result["id_token_claims"]["preferred_username"] == "u@contoso.com"


def test_id_token_is_signed_by_the_published_key(authority: Authority, http: requests.Session) -> None:
    authority.register_client("app", secret="s")
    flow, answer = sign_in(http, app := confidential(http, "s"), [IMAP])
    token = app.acquire_token_by_auth_code_flow(flow, answer)["id_token"]
    keys = http.get(f"{LOGIN}/{TENANT}/discovery/v2.0/keys").json()
    key = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(token)["kid"]]
    told = jwt.decode(token, key, algorithms=["RS256"], audience="app", issuer=f"{LOGIN}/{TENANT}/v2.0")
    assert told["tid"] == TENANT


def test_a_code_works_once(authority: Authority, http: requests.Session) -> None:
    authority.register_client("app", secret="s")
    flow, answer = sign_in(http, app := confidential(http, "s"), [IMAP])
    assert "access_token" in app.acquire_token_by_auth_code_flow(flow, answer)
    again = confidential(http, "s").acquire_token_by_auth_code_flow(flow, answer)
    assert again["error_codes"] == [54005]


def test_device_code_waits_for_the_person(authority: Authority, http: requests.Session) -> None:
    authority.register_client("app")
    app = public(http)
    flow = app.initiate_device_flow([IMAP])
    pending = app.acquire_token_by_device_flow(flow, exit_condition=lambda _: True)
    assert pending["error"] == "authorization_pending"
    authority.enter_code(flow["user_code"], "u@contoso.com")
    result = app.acquire_token_by_device_flow(flow, exit_condition=lambda _: True)
    assert claims(authority, result["access_token"]).account == "u@contoso.com"
    again = app.acquire_token_by_device_flow(flow, exit_condition=lambda _: True)
    assert again["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("decision", "error"), [("declined", "authorization_declined"), ("expired", "expired_token")]
)  # fmt: skip
def test_device_code_that_ends_badly(authority: Authority, http: requests.Session, decision: Any, error: str) -> None:
    authority.register_client("app")
    app = public(http)
    flow = app.initiate_device_flow([IMAP])
    authority.enter_code(flow["user_code"], decision=decision)
    assert app.acquire_token_by_device_flow(flow, exit_condition=lambda _: True)["error"] == error


def test_refresh_rotates_and_the_old_token_stays_good(authority: Authority, http: requests.Session) -> None:
    authority.register_client("app", secret="s")
    first = authority.authorize("app", "u@contoso.com", IMAP)
    tokens = [
        confidential(http, "s").acquire_token_by_refresh_token(first, [IMAP])["refresh_token"] for _ in range(2)
    ]  # fmt: skip
    assert len({first, *tokens}) == 3
    authority.strict_reuse = True
    assert confidential(http, "s").acquire_token_by_refresh_token(first, [IMAP])["error_codes"] == [70000]
    assert "access_token" in confidential(http, "s").acquire_token_by_refresh_token(tokens[1], [IMAP])


def test_one_refresh_token_serves_each_consented_resource(authority: Authority, http: requests.Session) -> None:
    authority.register_client("app")
    read = f"{GRAPH}/Mail.Read"
    refresh = authority.authorize("app", "u@contoso.com", IMAP, read)
    result = public(http).acquire_token_by_refresh_token(refresh, [read])
    token = result["access_token"]
    assert claims(authority, token, GRAPH).scopes == frozenset({"Mail.Read"})
    assert authority.check(token, audience=MAIL) == "audience"
    other = public(http).acquire_token_by_refresh_token(refresh, [f"{GRAPH}/Mail.ReadWrite"])
    assert (other["error_codes"], other["suberror"]) == ([65001], "consent_required")
    both = public(http).acquire_token_by_refresh_token(refresh, [IMAP, read])
    assert both["error_codes"] == [28000]


def test_bare_scope_means_graph(authority: Authority, http: requests.Session) -> None:
    authority.register_client("app")
    flow, answer = sign_in(http, app := public(http), ["User.Read"])
    token = app.acquire_token_by_auth_code_flow(flow, answer)["access_token"]
    assert claims(authority, token, GRAPH).scopes == frozenset({"User.Read"})


def test_claims_challenge_is_kept(authority: Authority, http: requests.Session) -> None:
    authority.register_client("app")
    refresh = authority.authorize("app", "u@contoso.com", IMAP)
    challenge = '{"access_token": {"nbf": {"essential": true, "value": "1700000000"}}}'
    result = public(http).acquire_token_by_refresh_token(refresh, [IMAP], data={"claims": challenge})
    assert claims(authority, result["access_token"]).challenge == challenge
    assert authority.requests[-1].claims == challenge


def test_personal_accounts_are_not_of_an_organization(authority: Authority, http: requests.Session) -> None:
    authority.register_client("app")
    authority.account("u@outlook.com", tenant=PERSONAL)
    refresh = authority.authorize("app", "u@outlook.com", IMAP)
    ask = {tenant: public(http, tenant=tenant) for tenant in ("organizations", "common", "consumers")}
    results = {tenant: app.acquire_token_by_refresh_token(refresh, [IMAP]) for tenant, app in ask.items()}
    assert results["organizations"]["error_codes"] == [50020]
    assert "access_token" in results["common"]
    assert "access_token" in results["consumers"]


@pytest.mark.parametrize(
    ("host", "resource"),
    [
        ("login.microsoftonline.us", "https://outlook.office365.us"),
        ("login.microsoftonline.us", "https://outlook-dod.office365.us"),
        ("login.partner.microsoftonline.cn", "https://partner.outlook.cn"),
    ],
)
def test_national_clouds(authority: Authority, http: requests.Session, host: str, resource: str) -> None:
    national = "33333333-3333-3333-3333-333333333333"
    authority.register_tenant(national, domain="agency.test", host=host)
    authority.register_client("app", secret="s")
    authority.account("u@agency.test", tenant=national)
    scopes = [f"{resource}/IMAP.AccessAsUser.All"]
    refresh = authority.authorize("app", "u@agency.test", *scopes)

    def ask(authority_url: str, wanted: list[str]) -> Any:
        app = msal.ConfidentialClientApplication(
            "app", client_credential="s", authority=authority_url, http_client=http
        )
        return app.acquire_token_by_refresh_token(refresh, wanted)

    assert claims(authority, ask(f"https://{host}/{national}", scopes)["access_token"], resource).tenant == national
    assert ask(f"https://{host}/{national}", [IMAP])["error_codes"] == [500011]
    assert ask(f"{LOGIN}/organizations", [IMAP])["error_codes"] == [900440]


def test_accounts_are_found_again_by_msals_cache(authority: Authority, http: requests.Session) -> None:
    authority.register_client("app")
    flow, answer = sign_in(http, app := public(http), [IMAP])
    app.acquire_token_by_auth_code_flow(flow, answer)
    (account,) = app.get_accounts()
    before = authority.count()
    assert app.acquire_token_silent([IMAP], account)["token_source"] == "cache"
    assert app.acquire_token_silent([IMAP], account, force_refresh=True)["token_source"] == "identity_provider"
    assert authority.count() == before + 1


def test_declined_consent_comes_back(authority: Authority, http: requests.Session) -> None:
    authority.register_client("app")
    authority.decision = "deny"
    flow, answer = sign_in(http, app := public(http), [IMAP])
    assert answer["error"] == "access_denied"
    assert app.acquire_token_by_auth_code_flow(flow, answer)["error"] == "access_denied"


def test_redirect_goes_nowhere_else(authority: Authority, http: requests.Session) -> None:
    authority.register_client("app", redirect=("http://localhost/back", "https://app.test/back"))
    for good in ("http://localhost:1234/back", "https://app.test/back"):
        url = public(http).initiate_auth_code_flow([IMAP], redirect_uri=good)["auth_uri"]
        assert http.get(url, allow_redirects=False).headers["Location"].startswith(good)
    for bad in ("http://localhost:1234/other", "https://app.test:444/back", "https://evil.test/back"):
        url = public(http).initiate_auth_code_flow([IMAP], redirect_uri=bad)["auth_uri"]
        answer = http.get(url, allow_redirects=False)
        assert (answer.status_code, "AADSTS50011" in answer.text) == (400, True)


def test_code_is_bound_to_its_verifier(authority: Authority, http: requests.Session) -> None:
    authority.register_client("app")
    flow, answer = sign_in(http, app := public(http), [IMAP])
    stolen = {**flow, "code_verifier": "x" * 43}
    assert app.acquire_token_by_auth_code_flow(stolen, answer)["error_codes"] == [501481]


def test_nonce_of_another_sign_in_is_noticed(authority: Authority, http: requests.Session) -> None:
    authority.register_client("app")
    flow, answer = sign_in(http, app := public(http), [IMAP])
    with pytest.raises(RuntimeError, match="nonce"):
        app.acquire_token_by_auth_code_flow({**flow, "nonce": "another"}, answer)


def test_signing_in_consents_to_nothing_else(authority: Authority, http: requests.Session) -> None:
    authority.register_client("app")
    flow, answer = sign_in(http, app := public(http), [IMAP])
    refresh = app.acquire_token_by_auth_code_flow(flow, answer)["refresh_token"]
    assert public(http).acquire_token_by_refresh_token(refresh, ["User.Read"])["error_codes"] == [65001]


def test_slow_down_makes_the_client_slower(authority: Authority, http: requests.Session) -> None:
    authority.register_client("app")
    flow = (app := public(http)).initiate_device_flow([IMAP])
    authority.fail_next("slow_down")
    assert app.acquire_token_by_device_flow(flow, exit_condition=lambda _: True)["error"] == "slow_down"
    authority.enter_code(flow["user_code"], "u@contoso.com")
    assert "access_token" in app.acquire_token_by_device_flow(flow, exit_condition=lambda _: True)
