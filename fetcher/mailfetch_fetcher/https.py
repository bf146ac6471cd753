"""HTTPS to providers: verified like the mail servers, no proxies or CA of the environment, no redirects, bounded.

`requests` would let `REQUESTS_CA_BUNDLE` and `~/.netrc` overrule us, follow redirects with what we send, and read
answers without end: in length, and in time where a server sends a byte now and then.
"""

import contextlib
import functools
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from mailfetch_fetcher.tls import new_context

LONGEST_ANSWER = 1 << 20
"""Bytes of an answer of an authority: tokens have some kilobytes."""
_PIECE = 16 * 1024


class _Adapter(HTTPAdapter):
    """Our context in place of the CA bundle that `requests` brings along; and all connections can be ended at once."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._guard = threading.Lock()
        self._opened: list[socket.socket] = []
        self.ended = False
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"https": _pool_class(self._remember)}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """The context knows whom to trust; `requests` would add its own bundle to a private CA."""

    def end(self) -> None:
        """See `end`."""
        self.ended = True
        with self._guard:
            opened = list(self._opened)
        for sock in opened:
            with contextlib.suppress(OSError):  # it has ended already
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def _remember(self, sock: socket.socket) -> None:
        with self._guard:
            self._opened = [known for known in self._opened if known.fileno() >= 0]
            self._opened.append(sock)
        if self.ended:
            self.end()


def _pool_class(opened: Callable[[socket.socket], None]) -> type[urllib3.HTTPSConnectionPool]:
    class Connection(urllib3.connection.HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            """All addresses of the host together have the time that urllib3 gives to each."""
            whole: Any = self.timeout
            with contextlib.suppress(OSError):  # urllib3 asks again, and tells it
                self.timeout = whole / len(socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM))
            sock = super()._new_conn()
            sock.settimeout(whole)  # of the handshake
            return sock

        def connect(self) -> None:
            super().connect()
            opened(self.sock)

    class Pool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Connection

    return Pool


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


def end(session: requests.Session) -> None:
    """Ends whatever is under way, for good; may be called from any thread.

    Args:
        session: From `new_session`.
    """
    _adapter(session).end()


def _adapter(session: requests.Session) -> _Adapter:
    adapter = session.get_adapter("https://")
    assert isinstance(adapter, _Adapter)
    return adapter


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
        timeout: Seconds until the whole answer must be there; on a new connection up to twice that. How long the name
            service may take is not ours to say.
        data: Form or body.
        params: Query.
        headers: More headers.

    Raises:
        requests.RequestException: no answer, not in time, or one that is too long.
    """
    with (
        _limited(session, timeout),
        session.request(
            method, url, data=data, params=params, headers=headers, timeout=timeout, stream=True, allow_redirects=False
        ) as reply,
    ):
        body = bytearray()
        for piece in pieces(reply):
            body += piece
            if len(body) > LONGEST_ANSWER:
                raise requests.RequestException(f"the answer is longer than {LONGEST_ANSWER >> 20} MiB")
        return Answer(status_code=reply.status_code, headers=reply.headers, text=bytes(body).decode("utf-8", "replace"))


@contextlib.contextmanager
def _limited(session: requests.Session, seconds: float) -> Iterator[None]:
    """Ends the session's connections when the time is over: the library only limits how long a server is silent.

    Raises:
        requests.Timeout: it was.
    """
    adapter = _adapter(session)
    timer = threading.Timer(seconds, adapter.end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except requests.RequestException:
        if not adapter.ended:
            raise
    finally:
        timer.cancel()
    if adapter.ended:  # also without an exception: headers that are cut look complete
        raise requests.Timeout(f"the answer was not complete within {seconds:g} s")


def pieces(reply: requests.Response, *, most: int = _PIECE) -> Iterator[bytes]:
    """The body, decoded, each piece as soon as something of it is there.

    Args:
        reply: Asked for with `stream=True`, nothing of its body read yet.
        most: Bytes of a piece.

    Raises:
        requests.RequestException: it broke off, or cannot be decoded.
    """
    try:
        # requests' own iter_content would wait until a piece is full.
        while piece := reply.raw.read1(most, decode_content=True):
            yield piece
    except urllib3.exceptions.SSLError as e:
        raise requests.exceptions.SSLError(e) from e
    except urllib3.exceptions.ReadTimeoutError as e:
        raise requests.ReadTimeout(e) from e
    except urllib3.exceptions.HTTPError as e:
        raise requests.ConnectionError(e) from e


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
