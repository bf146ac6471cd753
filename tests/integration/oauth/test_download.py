"""Mails arrive in the stream with access tokens: both providers, both flows, both protocols."""

import hashlib
from collections.abc import Callable

import pytest

from tests.integration.fetcher.helpers import Fetcher, assignment, bodies
from tests.integration.oauth.helpers import Mailbox, Providers
from tests.servers import mailgen
from tests.servers.authority_keys import federated_token, make_key_pair
from tests.servers.authority_model import Federated
from tests.servers.redis import RedisServer

MAILS = 3


def with_secret(providers: Providers) -> Mailbox:
    return providers.application(client={"client-secret": "s3cret"}, secret="s3cret")


def with_certificate(providers: Providers) -> Mailbox:
    pair = make_key_pair()
    client = {"certificate.pem": pair.certificate_pem, "private-key.pem": pair.private_pem}
    return providers.application(client=client, certificate=pair.certificate)


def with_certificate_and_key_in_one(providers: Providers) -> Mailbox:
    pair = make_key_pair()
    client = {"certificate.pem": pair.private_pem + pair.certificate_pem}
    return providers.application(client=client, certificate=pair.certificate)


def with_federated_token(providers: Providers) -> Mailbox:
    pair = make_key_pair()
    issuer, subject = "https://cluster.example.com", "system:serviceaccount:helpdesk:mailfetch"
    federated = Federated(issuer=issuer, subject=subject, key=pair.key.public_key())
    token = federated_token(pair, issuer=issuer, subject=subject)
    return providers.application(client={"federated-token": token}, federated=federated)


def as_public_client(providers: Providers) -> Mailbox:
    mailbox = providers.microsoft(secret="")
    return Mailbox(**{**vars(mailbox), "client": {"client-id": providers.app}})


KINDS: list[Callable[[Providers], Mailbox]] = [
    Providers.microsoft,
    as_public_client,
    with_secret,
    with_certificate,
    with_certificate_and_key_in_one,
    with_federated_token,
    Providers.google,
    Providers.service_account,
]


@pytest.mark.parametrize("protocol", ["IMAP", "POP3"])
@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_mails_arrive(
    providers: Providers,
    fetcher: Fetcher,
    server: RedisServer,
    make: Callable[[Providers], Mailbox],
    protocol: str,
) -> None:
    mailbox = make(providers)
    raws = list(mailgen.mails(MAILS))
    mailbox.dovecot.fill(mailbox.address, raws)
    mailbox.give_secrets(fetcher)
    fetcher.assign(assignment(mailbox.spec(protocol=protocol)))
    fetcher.caught_up(MAILS)
    assert sorted(bodies(server.client())) == sorted(hashlib.sha256(raw).hexdigest() for raw in raws)
