"""What people are told when there is no token, and that it flows on by itself when the cause is gone."""

import pytest

from tests.integration.fetcher.helpers import Fetcher, assignment
from tests.integration.oauth.helpers import Mailbox, Providers, asking, start
from tests.servers import mailgen

COMMAND = "kubectl mailfetch authorize support -n helpdesk"


@pytest.mark.parametrize("kind", ["microsoft", "google"])
def test_a_revoked_authorization_and_a_new_one(providers: Providers, fetcher: Fetcher, kind: str) -> None:
    mailbox: Mailbox = getattr(providers, kind)()
    a = start(fetcher, mailbox, protocol="POP3")
    fetcher.caught_up(1)
    providers.authority.revoke(mailbox.address)
    providers.authority.revoke_tokens(mailbox.address)
    mailbox.dovecot.deliver(mailbox.address, mailgen.make_mail(10))
    fetcher.assign(asking(a, "again"))
    assert COMMAND in fetcher.problem("AuthorizationRequired")
    scopes = {"microsoft": "https://outlook.office.com/POP.AccessAsUser.All", "google": "https://mail.google.com/"}
    mailbox.refresh_token = providers.authority.authorize(mailbox.client["client-id"], mailbox.address, scopes[kind])
    mailbox.give_secrets(fetcher)  # the next try by itself would come after 15 s at the earliest
    fetcher.caught_up(2)


def test_nobody_has_authorized_yet(providers: Providers, fetcher: Fetcher) -> None:
    mailbox = providers.microsoft()
    spec, token = mailbox.spec(), mailbox.refresh_token
    mailbox.refresh_token = ""
    mailbox.dovecot.fill(mailbox.address, mailgen.mails(1))
    mailbox.give_secrets(fetcher)
    fetcher.assign(assignment(spec))
    message = fetcher.problem("AuthorizationRequired")
    assert COMMAND in message
    assert "Secret 'token'" in message
    mailbox.refresh_token = token
    mailbox.give_secrets(fetcher)
    fetcher.caught_up(1)


@pytest.mark.parametrize(
    ("missing", "text"),
    [
        ("client-id", '{"stringData":{"client-id":'),
        ("tenant-id", '{"stringData":{"tenant-id":'),
        ("client-secret", '{"stringData":{"client-secret":'),
    ],
)
def test_a_missing_key_of_the_client(providers: Providers, fetcher: Fetcher, missing: str, text: str) -> None:
    mailbox = providers.application(client={"client-secret": "s"}, secret="s")
    whole = mailbox.client
    mailbox.client = {key: value for key, value in whole.items() if key != missing}
    start(fetcher, mailbox)
    assert text in fetcher.problem("SecretNotFound")
    mailbox.client = whole
    mailbox.give_secrets(fetcher)
    fetcher.caught_up(1)


def test_a_missing_client_secret(providers: Providers, fetcher: Fetcher) -> None:
    mailbox = providers.microsoft()
    mailbox.client = {}
    start(fetcher, mailbox)
    assert "kubectl -n helpdesk create secret generic client" in fetcher.problem("SecretNotFound")


def test_a_wrong_client_secret_is_told_and_the_corrected_one_used_at_once(
    providers: Providers, fetcher: Fetcher
) -> None:
    mailbox = providers.microsoft()
    whole = mailbox.client
    mailbox.client = {**whole, "client-secret": "the-id-of-the-secret"}
    start(fetcher, mailbox)
    message = fetcher.problem("AuthFailed")
    assert "key 'client-secret' of the Secret 'client'" in message
    assert "the-id-of-the-secret" not in message
    mailbox.client = whole
    mailbox.give_secrets(fetcher)  # the next try by itself would come after 15 s at the earliest
    fetcher.caught_up(1)


@pytest.mark.parametrize(
    "fault", ["503", "500", "AADSTS90033", "html", "html_403", "cut", "cut_body", "huge", "silence", "trickle"]
)
@pytest.mark.parametrize("kind", ["microsoft", "google"])
def test_an_authority_in_trouble_is_no_bad_credential(
    providers: Providers, fetcher: Fetcher, kind: str, fault: str
) -> None:
    providers.authority.fail_next(fault, times=None)
    start(fetcher, getattr(providers, kind)(), schedule={"timeout": "1s"})
    message = fetcher.problem("ConnectionFailed")
    assert "authorize" not in message
    providers.authority.recover()
    assert fetcher.caught_up(1)


def test_an_authority_that_asks_for_patience(providers: Providers, fetcher: Fetcher) -> None:
    providers.authority.fail_next("429", times=None)
    start(fetcher, providers.microsoft())
    assert "login.microsoftonline.com limits" in fetcher.problem("Throttled")


def test_a_redirect_is_not_followed(providers: Providers, fetcher: Fetcher) -> None:
    providers.authority.fail_next("redirect", times=None)
    start(fetcher, providers.microsoft())
    assert "HTTP 307" in fetcher.problem("ConnectionFailed")


def test_a_tenant_that_does_not_exist(providers: Providers, fetcher: Fetcher) -> None:
    mailbox = providers.microsoft()
    mailbox.client = {**mailbox.client, "tenant-id": "nowhere.example.com"}
    start(fetcher, mailbox)
    assert "'tenant-id' of the Secret 'client'" in fetcher.problem("InvalidConfiguration")


def test_an_authority_whose_certificate_is_not_trusted(providers: Providers, fetcher: Fetcher) -> None:
    mailbox = providers.microsoft()
    spec = {key: value for key, value in mailbox.spec().items() if key != "tls"}
    mailbox.give_secrets(fetcher)
    fetcher.assign(assignment(spec))
    message = fetcher.problem("TLSFailed")
    assert "certificate of" in message
    assert "spec.tls.caSecretRef" in message
