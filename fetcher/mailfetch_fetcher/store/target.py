"""Where Redis is: the URL of the Redis Secret, taken apart once. No text made here shows the password."""

import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from mailfetch_fetcher.errors import Pace, StoreError

_FORM = "write it as redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS"


@dataclass(frozen=True, kw_only=True)
class Target:
    """One standalone Redis or Valkey.

    Attributes:
        ca_file: Certificate authorities that sign its certificate; None: those of the system.
    """

    host: str
    port: int = 6379
    database: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    ca_file: Path | None = None

    def __str__(self) -> str:
        """For people: without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.tls else 'redis'}://{host}:{self.port}/{self.database}"


def parse_target(url: str, *, ca_file: Path | None) -> Target:
    """The parts of a URL.

    Raises:
        StoreError: it cannot be used (InvalidConfiguration).
    """
    parts, port = _parts(url.strip())
    if not parts.hostname:
        raise _invalid(f"the Redis URL names no host; {_FORM}")
    if parts.query or parts.fragment:
        raise _invalid(f"options after ? or # in the Redis URL are not understood; {_FORM}")
    return Target(
        host=parts.hostname,
        port=port,
        database=_database(parts),
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls=parts.scheme == "rediss",
        ca_file=ca_file,
    )


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """The TLS settings for a CA file: one object for all links (849 kB each otherwise).

    Raises:
        StoreError: the CA file cannot be read.
    """
    try:
        stamp = ca_file.stat().st_mtime_ns if ca_file else 0
        return _tls_context(ca_file, stamp)
    except (OSError, ssl.SSLError) as e:
        raise _invalid(
            f"the certificate authority of Redis (key ca.crt of the Redis Secret) cannot be read: {e}; "
            "it must hold certificates in PEM form"
        ) from e


@lru_cache(maxsize=8)
def _tls_context(ca_file: Path | None, stamp: int) -> ssl.SSLContext:
    del stamp  # only tells a replaced file from the one that was read before
    return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)


def _parts(url: str) -> tuple[SplitResult, int]:
    try:
        parts = urlsplit(url)
        if (
            parts.scheme.startswith(("redis+", "rediss+", "redis-", "sentinel"))
            or "," in parts.netloc.rpartition("@")[2]
        ):
            raise _invalid(f"Redis Sentinel and Cluster are not in this version: name one server; {_FORM}")
        if parts.scheme not in ("redis", "rediss"):
            raise _invalid(f"the Redis URL must begin with redis:// or rediss://; {_FORM}")
        return parts, parts.port or 6379
    except ValueError:
        # The text of the cause may hold a piece of the password.
        raise _invalid(f"the Redis URL cannot be read; {_FORM} (percent-encode special characters)") from None


def _database(parts: SplitResult) -> int:
    text = parts.path.strip("/")
    if not text:
        return 0
    if not text.isascii() or not text.isdigit():
        raise _invalid(f"the database in the Redis URL must be a number; {_FORM}")
    return int(text)


def _invalid(message: str) -> StoreError:
    return StoreError("InvalidConfiguration", message, pace=Pace.CONFIGURATION)
