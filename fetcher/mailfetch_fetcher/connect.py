"""Makes the source of an assignment: reads its Secrets, as they are now, and picks the protocol."""

import dataclasses
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from mailfetch_fetcher.auth.bearer import Rotated
from mailfetch_fetcher.auth.failures import authorize_command
from mailfetch_fetcher.auth.oauth import Means, OAuthBearer
from mailfetch_fetcher.auth.password import read_password, read_secret
from mailfetch_fetcher.auth.tokens import Tokens
from mailfetch_fetcher.contract import secrets as names
from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.contract.probe import StepName
from mailfetch_fetcher.contract.spec import Spec, unsupported
from mailfetch_fetcher.errors import Pace, SourceError
from mailfetch_fetcher.sources import graph_settings, imap_settings, pop3_settings
from mailfetch_fetcher.sources.graph import GraphSource
from mailfetch_fetcher.sources.imap import ImapSource
from mailfetch_fetcher.sources.imap_settings import ImapSettings
from mailfetch_fetcher.sources.pop3 import Pop3Source
from mailfetch_fetcher.sources.pop3_settings import Pop3Settings
from mailfetch_fetcher.sources.sasl import TokenLogin
from mailfetch_fetcher.sources.source import Source
from mailfetch_fetcher.sources.transport import Observe
from mailfetch_fetcher.tls import client_context

PART = 512 * 1024
"""Bytes: the longest stretch of a mail that is read without a sign of life; larger mails come in such parts."""


def _ignore(_stage: StepName, _detail: str) -> None:
    pass


def _nothing() -> None:
    pass


def make_source(
    a: Assignment,
    *,
    secrets: Path,
    tokens: Tokens,
    rotated: Rotated,
    observe: Observe = _ignore,
    alive: Callable[[], None] = _nothing,
    careful: bool = False,
) -> Source:
    """A source that is not connected yet.

    Args:
        a: What to fetch.
        secrets: Directory of the mounted Secrets.
        tokens: Access tokens of the process.
        rotated: Where a replaced refresh token is kept.
        observe: Told of each stage of the connection that succeeded.
        alive: Called while something long is read; may raise to give up.
        careful: A download failed before: nothing is asked for that one bad mail could spoil for all.

    Raises:
        SourceError: a Secret is missing, or the spec asks for what this version cannot run.
    """
    if missing := unsupported(a.spec):
        raise SourceError("InvalidConfiguration", f"not in this version: {missing}", pace=Pace.CONFIGURATION)
    bearer = make_bearer(a, secrets=secrets, tokens=tokens, rotated=rotated)
    if bearer:
        bearer.check()  # a missing Secret is told before anything is connected
    context = _context(a, secrets=secrets)
    try:
        if a.spec.protocol == "MicrosoftGraph" and bearer:
            ca = _authority(a.spec, directory=secrets, namespace=a.namespace)
            graph = dataclasses.replace(
                graph_settings.from_spec(a.spec, authorize=authorize_command(a.name, a.namespace), ca=ca),
                part_size=PART,
            )
            return GraphSource(graph, bearer=bearer, observe=observe, alive=alive)
        if a.spec.protocol == "POP3":
            pop3 = dataclasses.replace(_pop3_settings(a, bearer, secrets=secrets), part_size=PART)
            return Pop3Source(pop3, context=context, observe=observe, alive=alive)
        imap = dataclasses.replace(_imap_settings(a, bearer, secrets=secrets), part_size=PART, careful=careful)
        return ImapSource(imap, context=context, observe=observe, alive=alive)
    except ValueError as e:
        raise SourceError("InvalidConfiguration", str(e), pace=Pace.CONFIGURATION) from e


def make_bearer(a: Assignment, *, secrets: Path, tokens: Tokens, rotated: Rotated) -> OAuthBearer | None:
    """What gives the access tokens of a connection; None for a password. Arguments as in `make_source`.

    Raises:
        SourceError: the Secret with the private CA is missing.
    """
    if a.spec.auth.oauth2 is None:
        return None
    ca = _authority(a.spec, directory=secrets, namespace=a.namespace)
    return OAuthBearer(a, a.spec.auth.oauth2, means=Means(secrets=secrets, ca=ca, tokens=tokens, rotated=rotated))


def _imap_settings(a: Assignment, bearer: OAuthBearer | None, *, secrets: Path) -> ImapSettings:
    if bearer:
        return imap_settings.from_spec(a.spec, token=_token_login(a.spec, bearer))
    password = read_password(a.spec, directory=secrets, namespace=a.namespace)
    return imap_settings.from_spec(a.spec, password=password)


def _pop3_settings(a: Assignment, bearer: OAuthBearer | None, *, secrets: Path) -> Pop3Settings:
    if bearer:
        return pop3_settings.from_spec(a.spec, token=_token_login(a.spec, bearer))
    password = partial(read_password, a.spec, directory=secrets, namespace=a.namespace)
    password()  # a missing one is told before anything is connected
    return pop3_settings.from_spec(a.spec, password=password)


def _token_login(spec: Spec, bearer: OAuthBearer) -> TokenLogin:
    assert spec.auth.oauth2
    provider: Literal["Google", "Microsoft"] = "Google" if spec.auth.type == "GoogleOAuth2" else "Microsoft"
    return TokenLogin(bearer=bearer, provider=provider, flow=spec.auth.oauth2.flow)


def _context(a: Assignment, *, secrets: Path) -> ssl.SSLContext | None:
    if a.spec.server and a.spec.server.encryption == "None":
        return None
    return client_context(_authority(a.spec, directory=secrets, namespace=a.namespace))


def _authority(spec: Spec, *, directory: Path, namespace: str) -> bytes | None:
    """The private CA, or None for the system's."""
    named = names.certificate_authority(spec)
    if named is None:
        return None
    ca = read_secret(directory, *named)
    if not ca:
        secret, key = named
        raise SourceError(
            "SecretNotFound",
            f"the Secret '{secret}' with key '{key}' (spec.tls.caSecretRef) is missing or empty; create it: "
            f"kubectl -n {namespace} create secret generic {secret} --from-file={key}=ca.pem",
            pace=Pace.CONFIGURATION,
        )
    return ca
