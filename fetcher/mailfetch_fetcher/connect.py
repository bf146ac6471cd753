"""Makes the source of an assignment: reads its Secrets, as they are now, and picks the protocol."""

import dataclasses
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mailfetch_fetcher.auth.password import read_password, read_secret
from mailfetch_fetcher.contract import secrets as names
from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.contract.probe import StepName
from mailfetch_fetcher.contract.spec import Spec, unsupported
from mailfetch_fetcher.errors import Pace, SourceError
from mailfetch_fetcher.sources import imap_settings, pop3_settings
from mailfetch_fetcher.sources.imap import ImapSource
from mailfetch_fetcher.sources.pop3 import Pop3Source
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
    observe: Observe = _ignore,
    alive: Callable[[], None] = _nothing,
    careful: bool = False,
) -> Source:
    """A source that is not connected yet.

    Args:
        a: What to fetch.
        secrets: Directory of the mounted Secrets.
        observe: Told of each stage of the connection that succeeded.
        alive: Called while something long is read; may raise to give up.
        careful: A download failed before: nothing is asked for that one bad mail could spoil for all.

    Raises:
        SourceError: a Secret is missing, or the spec asks for what this version cannot run.
    """
    if missing := unsupported(a.spec):
        raise SourceError("InvalidConfiguration", f"not in this version: {missing}", pace=Pace.CONFIGURATION)
    password = partial(read_password, a.spec, directory=secrets, namespace=a.namespace)
    password()  # a missing one is told before anything is connected
    context = _context(a, secrets=secrets)
    try:
        if a.spec.protocol == "POP3":
            pop3 = dataclasses.replace(pop3_settings.from_spec(a.spec, password=password), part_size=PART)
            return Pop3Source(pop3, context=context, observe=observe, alive=alive)
        settings = imap_settings.from_spec(a.spec, password=password())
        imap = dataclasses.replace(settings, part_size=PART, careful=careful)
        return ImapSource(imap, context=context, observe=observe, alive=alive)
    except ValueError as e:
        raise SourceError("InvalidConfiguration", str(e), pace=Pace.CONFIGURATION) from e


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
