"""What all sessions of one process share, and how they reach Redis and the Secrets."""

import os
import secrets as random_secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mailfetch_fetcher.auth.tokens import Tokens
from mailfetch_fetcher.budget import ByteBudget
from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.contract.mounts import REDIS_SECRET
from mailfetch_fetcher.errors import Pace, StoreError
from mailfetch_fetcher.report import ReportHub
from mailfetch_fetcher.store.lease import TTL, LeaseKeeper
from mailfetch_fetcher.store.target import Target, parse_target


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Shared by all sessions.

    Attributes:
        pod_uid: UID of the pod; the same pod may take its own lease back at once after a restart.
        secrets: Directory of the mounted Secrets (`contract/secrets.py`).
        redis: Directory of the mounted Redis Secret.
    """

    pod_uid: str
    secrets: Path
    redis: Path
    leases: LeaseKeeper
    hub: ReportHub
    budget: ByteBudget
    tokens: Tokens
    clock: Clock


def make_environment(
    *, fetcher: str, secrets: Path, redis: Path, variables: Mapping[str, str] = os.environ
) -> Environment:
    """The environment of a process.

    Args:
        fetcher: Name of the fetcher in its report.
        secrets: Directory of the mounted Secrets.
        redis: Directory of the mounted Redis Secret.
        variables: For `pod_uid`. `MAILFETCH_LEASE_SECONDS` is for tests of a lease that runs out.
    """
    clock = Clock()
    return Environment(
        pod_uid=pod_uid(variables),
        secrets=secrets,
        redis=redis,
        leases=LeaseKeeper(clock=clock, ttl=float(variables.get("MAILFETCH_LEASE_SECONDS") or TTL)),
        hub=ReportHub(fetcher=fetcher, monotonic=clock.monotonic),
        budget=ByteBudget(),
        tokens=Tokens(clock),
        clock=clock,
    )


def pod_uid(variables: Mapping[str, str] = os.environ) -> str:
    """What `POD_UID` names, without blanks (`Owner`).

    Without it the process counts as a pod of its own: two without a name must never take each other for one.
    """
    return "".join(variables.get("POD_UID", "").split()) or random_secrets.token_hex(8)


def redis_target(directory: Path, *, namespace: str) -> Target:
    """Where Redis is, read anew at each connect so that a changed Secret counts.

    Raises:
        StoreError: the Secret is missing (SecretNotFound, with the command that makes it) or its URL cannot be read.
    """
    try:
        url = (directory / "url").read_text().strip()
    except OSError:
        url = ""
    except UnicodeDecodeError:
        text = f"the key url of the Secret {REDIS_SECRET} is not text; write it as in redis://HOST:6379/0"
        raise StoreError("InvalidConfiguration", text, pace=Pace.CONFIGURATION) from None
    if not url:
        raise StoreError(
            "SecretNotFound",
            f"Secret {REDIS_SECRET} with key url is missing in namespace {namespace}; create it: "
            f"kubectl -n {namespace} create secret generic {REDIS_SECRET} --from-literal=url=redis://HOST:6379/0",
            pace=Pace.CONFIGURATION,
        )
    ca = directory / "ca.crt"
    return parse_target(url, ca_file=ca if ca.exists() else None)
