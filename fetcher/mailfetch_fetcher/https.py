"""HTTPS to providers: verified like the mail servers, no proxies or CA of the environment, no redirects, bounded.

`requests` would let `REQUESTS_CA_BUNDLE` and `~/.netrc` overrule us, follow redirects with what we send, and read
answers without end.
"""

import functools
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from mailfetch_fetcher.tls import new_context

LONGEST_ANSWER = 1 << 20
"""Bytes of an answer of an authority: tokens have some kilobytes."""
_PIECE = 16 * 1024


class _Adapter(HTTPAdapter):
    """Our context in place of the CA bundle that `requests` brings along."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """The context knows whom to trust; `requests` would add its own bundle to a private CA."""


@functools.lru_cache(maxsize=64)
def _context(ca: bytes | None) -> ssl.SSLContext:
    """One for each CA: each costs 849 kB, and there is a session for each mailbox at Microsoft Graph."""
    return new_context(ca)


def new_session(*, ca: bytes | None = None) -> requests.Session:
    """A session for https only.

    Args:
        ca: PEM certificates to trust instead of the system's, or None.

    Raises:
        SourceError: `ca` cannot be read.
    """
    session = requests.Session()
    session.trust_env = False
    session.adapters.clear()
    # Not the context of the mail servers: urllib3 adds the ALPN name of HTTP to it.
    session.mount("https://", _Adapter(_context(ca)))
    return session


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A whole answer; has the names that msal reads."""

    status_code: int
    headers: Mapping[str, str]
    text: str = field(repr=False)


def send(
    session: requests.Session,
    method: str,
    url: str,
    *,
    timeout: float,
    data: Any = None,
    params: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request and its whole answer.

    Args:
        session: From `new_session`.
        method: GET or POST.
        url: Where.
        timeout: Seconds that the server may be silent; the whole answer may take four times that.
        data: Form or body.
        params: Query.
        headers: More headers.

    Raises:
        requests.RequestException: no answer, not in time, or one that is too long.
    """
    end = time.monotonic() + 4 * timeout
    with session.request(
        method, url, data=data, params=params, headers=headers, timeout=timeout, stream=True, allow_redirects=False
    ) as reply:
        body = bytearray()
        for piece in reply.iter_content(_PIECE):
            body += piece
            if len(body) > LONGEST_ANSWER:
                raise requests.RequestException(f"the answer is longer than {LONGEST_ANSWER >> 20} MiB")
            if time.monotonic() > end:
                raise requests.Timeout(f"the answer was not complete within {4 * timeout:g} s")
        return Answer(status_code=reply.status_code, headers=reply.headers, text=bytes(body).decode("utf-8", "replace"))


def retry_after(text: str | None, *, now: datetime) -> float | None:
    """Seconds that a header Retry-After asks for (RFC 9110 section 10.2.3: a number, or a date); None without one."""
    if not text:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max((moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds(), 0.0)
