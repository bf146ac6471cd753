"""What all sessions of one process share, and how they reach Redis and the Secrets."""

from dataclasses import dataclass
from pathlib import Path

from mailfetch_fetcher.budget import ByteBudget
from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.contract.secrets import REDIS_SECRET
from mailfetch_fetcher.errors import Pace, StoreError
from mailfetch_fetcher.report import ReportHub
from mailfetch_fetcher.store.lease import LeaseKeeper
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
    clock: Clock


def redis_target(directory: Path, *, namespace: str) -> Target:
    """Where Redis is, read anew at each connect so that a changed Secret counts.

    Raises:
        StoreError: the Secret is missing (SecretNotFound, with the command that makes it) or its URL cannot be read.
    """
    try:
        url = (directory / "url").read_text().strip()
    except OSError:
        url = ""
    if not url:
        raise StoreError(
            "SecretNotFound",
            f"Secret {REDIS_SECRET} with key url is missing in namespace {namespace}; create it: "
            f"kubectl -n {namespace} create secret generic {REDIS_SECRET} --from-literal=url=redis://HOST:6379/0",
            pace=Pace.CONFIGURATION,
        )
    ca = directory / "ca.crt"
    return parse_target(url, ca_file=ca if ca.exists() else None)
