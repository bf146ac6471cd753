"""Microsoft's own library proves an application to the double: secret, certificate, federated token."""

import threading
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives import hashes

from tests.integration.authority.microsoft import (
    APPLICATION_SCOPE,
    IMAP,
    claims,
    confidential,
    public,
)
from tests.servers.authority import Authority
from tests.servers.authority_keys import federated_token, make_key_pair
from tests.servers.authority_model import TENANT, Federated


@pytest.mark.filterwarnings("ignore:Using /common")
def test_application_with_a_secret(authority: Authority, http: requests.Session) -> None:
    authority.register_client("app", secret="s", application={"https://outlook.office365.com": ["IMAP.AccessAsApp"]})
    result = confidential(http, "s").acquire_token_for_client(APPLICATION_SCOPE)
    got = claims(authority, result["access_token"], "https://outlook.office365.com")
    assert (got.application, got.tenant, got.scopes) == (True, TENANT, frozenset({"IMAP.AccessAsApp"}))
    assert "refresh_token" not in result
    assert confidential(http, "bad").acquire_token_for_client(APPLICATION_SCOPE)["error_codes"] == [7000215]
    nowhere = confidential(http, "s", tenant="organizations").acquire_token_for_client(APPLICATION_SCOPE)
    assert nowhere["error_codes"] == [50059]


@pytest.mark.parametrize("form", ["certificate", "thumbprint"])
def test_application_with_a_certificate(authority: Authority, http: requests.Session, form: str) -> None:
    pair, other = make_key_pair(), make_key_pair()
    authority.register_client("app", certificate=pair.certificate)

    def credential(key: str) -> dict[str, str]:
        if form == "thumbprint":
            return {"private_key": key, "thumbprint": pair.certificate.fingerprint(hashes.SHA1()).hex()}
        return {"private_key": key, "public_certificate": pair.certificate_pem}

    for _ in range(2):  # each with an assertion of its own
        assert "access_token" in confidential(http, credential(pair.private_pem)).acquire_token_for_client(
            APPLICATION_SCOPE
        )
    forged = confidential(http, credential(other.private_pem)).acquire_token_for_client(APPLICATION_SCOPE)
    assert (forged["error"], forged["error_codes"]) == ("invalid_client", [700027])
    assert [r.authentication for r in authority.requests if r.endpoint == "token"] == 3 * ["assertion"]


def test_certificate_that_is_not_registered(authority: Authority, http: requests.Session) -> None:
    authority.register_client("app", certificate=make_key_pair().certificate)
    pair = make_key_pair()
    credential = {"private_key": pair.private_pem, "public_certificate": pair.certificate_pem}
    assert confidential(http, credential).acquire_token_for_client(APPLICATION_SCOPE)["error_codes"] == [700027]


def test_an_assertion_works_once(authority: Authority, http: requests.Session) -> None:
    pair = make_key_pair()
    authority.register_client("app", certificate=pair.certificate)
    kept: list[str] = []

    class Keeping(requests.Session):
        def post(self, url: str, data: Any = None, **more: Any) -> requests.Response:  # type: ignore[override]
            kept.append(data["client_assertion"])
            return super().post(url, data=data, **more)

    with Keeping() as session:
        session.trust_env, session.verify = False, http.verify
        credential = {"private_key": pair.private_pem, "public_certificate": pair.certificate_pem}
        confidential(session, credential).acquire_token_for_client(APPLICATION_SCOPE)
    replayed = confidential(http, {"client_assertion": lambda: kept[0]}).acquire_token_for_client(APPLICATION_SCOPE)
    assert replayed["error_codes"] == [50012]


def test_application_with_a_federated_token(authority: Authority, http: requests.Session) -> None:
    pair = make_key_pair()
    issuer, subject = "https://cluster.test", "system:serviceaccount:helpdesk:default"
    authority.register_client("app", federated=Federated(issuer=issuer, subject=subject, key=pair.key.public_key()))

    def ask(**changes: Any) -> Any:
        token = federated_token(pair, **{"issuer": issuer, "subject": subject, **changes})
        return confidential(http, {"client_assertion": lambda: token}).acquire_token_for_client(APPLICATION_SCOPE)

    assert "access_token" in ask()
    assert ask(subject="system:serviceaccount:other:default")["error_codes"] == [700213]
    assert ask(seconds=-3600)["error_codes"] == [700024]
    assert ask(aud="https://kubernetes.default.svc")["error_codes"] == [700213]


def test_clients_and_tenants_that_are_not_there(authority: Authority, http: requests.Session) -> None:
    refresh = "1.AXunknown"
    assert public(http).acquire_token_by_refresh_token(refresh, [IMAP])["error_codes"] == [700016]
    with pytest.raises(ValueError, match="Unable to get authority configuration"):
        public(http, tenant="nowhere.test").acquire_token_by_refresh_token(refresh, [IMAP])
    authority.register_client("app", tenants=["22222222-2222-2222-2222-222222222222"])
    elsewhere = public(http, tenant=TENANT).acquire_token_by_refresh_token(refresh, [IMAP])
    assert elsewhere["error_codes"] == [700016]


def test_a_public_client_has_no_secret_and_a_confidential_one_needs_it(
    authority: Authority, http: requests.Session
) -> None:
    authority.register_client("app")
    refresh = authority.authorize("app", "u@contoso.com", IMAP)
    assert confidential(http, "s").acquire_token_by_refresh_token(refresh, [IMAP])["error_codes"] == [700025]
    authority.clients["app"].secrets.add("s")
    assert public(http).acquire_token_by_refresh_token(refresh, [IMAP])["error_codes"] == [7000218]


def test_held_requests_are_answered_together(authority: Authority, http: requests.Session) -> None:
    authority.register_client("app", secret="s", application={"https://outlook.office365.com": ["IMAP.AccessAsApp"]})
    results: list[Any] = []
    authority.hold()
    ask = threading.Thread(
        target=lambda: results.append(confidential(http, "s").acquire_token_for_client(APPLICATION_SCOPE))
    )
    ask.start()
    authority.await_requests(1)
    assert results == []
    authority.release()
    ask.join()
    assert "access_token" in results[0]
