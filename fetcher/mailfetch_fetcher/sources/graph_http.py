"""Requests to Microsoft Graph: every one with a token, lasting ids and a limit; each failure is told as `SourceError`.

Nothing but the cloud's own Graph host is ever asked, as each request carries the token. May be used by several threads.
"""

import contextlib
import functools
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import requests
import urllib3

from mailfetch_fetcher.auth.bearer import Bearer
from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.https import end, new_session
from mailfetch_fetcher.sources import graph_errors as errors
from mailfetch_fetcher.sources.graph_settings import ROOT, GraphSettings

AT_ONCE = 32
"""Requests of the whole process that are under way at once."""
OF_A_MAILBOX = 4
"""Requests for one mailbox that are under way at once, whatever its connections: more are refused by Graph."""
LONGEST_JSON = 16 << 20
"""Bytes."""
_LONGEST_ERROR = 64 << 10
_PIECE = 32 << 10
_IMMUTABLE = 'IdType="ImmutableId"'
_all_places = threading.BoundedSemaphore(AT_ONCE)


@functools.cache
def _places_of(_mailbox: str) -> threading.BoundedSemaphore:
    return threading.BoundedSemaphore(OF_A_MAILBOX)


class GraphHttp:
    """One mailbox's way to Graph."""

    def __init__(self, settings: GraphSettings, *, bearer: Bearer, alive: Callable[[], None]) -> None:
        """Opens nothing yet.

        Args:
            settings: Where.
            bearer: Gives tokens.
            alive: A sign of life; may raise to give up.

        Raises:
            SourceError: the CA cannot be read.
        """
        self._settings = settings
        self._bearer = bearer
        self._alive = alive
        self._closed = False
        self._places = _places_of(f"{settings.host} {settings.mailbox.lower()}")
        self._session = new_session(ca=settings.ca)

    def get(self, path: str) -> dict[str, Any]:
        """The object that a path (with its query) names.

        Args:
            path: Begins with `ROOT`.

        Raises:
            SourceError: it cannot be had; `Refused` if Graph says so.
        """
        return self.get_page(path)[0]

    def get_page(self, path: str, *, most: int = 0) -> tuple[dict[str, Any], bool]:
        """As `get`, and whether Graph says that its ids are lasting ones.

        Args:
            path: Begins with `ROOT`.
            most: Most things of a page of changes; 0: it has no pages, or they are chosen in the query.
        """
        prefer = f"{_IMMUTABLE}, odata.maxpagesize={most}" if most else _IMMUTABLE
        with self._answer("GET", path, prefer=prefer) as answer:
            return self._object(answer), "idtype=immutableid" in _applied(answer.headers)

    def change(self, method: str, path: str, content: Mapping[str, object] | None = None) -> None:
        """Changes something, without a body if there is no content; what is answered does not matter.

        Raises:
            SourceError: it was not done, or it is not known whether it was.
        """
        body = None if content is None else json.dumps(content).encode()
        with self._answer(method, path, prefer=_IMMUTABLE, body=body) as answer:
            for _ in self._pieces(answer, LONGEST_JSON):
                pass

    @contextlib.contextmanager
    def download(self, path: str) -> Iterator[tuple[Iterator[bytes], int | None]]:
        """A body in pieces, and its length if that is told. It is complete if its end comes without an error.

        Raises:
            SourceError: it cannot be had; also while it is read.
        """
        with self._answer("GET", path, prefer=_IMMUTABLE) as answer:
            length = answer.headers.get("Content-Length", "")
            if not length.isdigit() and "Transfer-Encoding" not in answer.headers:
                raise errors.odd(
                    self._settings, "does not tell where a mail ends, so that a cut one would not be noticed"
                )
            yield self._pieces(answer, None), int(length) if length.isdigit() else None

    def shut(self) -> None:
        """Ends whatever is under way; may be called from another thread. Nothing can be asked any more."""
        self._closed = True
        end(self._session)

    def close(self) -> None:
        """Frees the connections."""
        self._closed = True
        self._session.close()

    # ---- one request

    @contextlib.contextmanager
    def _answer(self, method: str, path: str, *, prefer: str, body: bytes | None = None) -> Iterator[requests.Response]:
        """A good answer, its body not read yet."""
        if not path.startswith(f"{ROOT}/"):
            raise ValueError("not a path of Graph")
        headers = {"Prefer": prefer, "Accept": "*/*", "Accept-Encoding": "identity"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            token = self._bearer.token()  # no place is held while the authority is asked
            with self._held(method, path, token, headers, body) as answer:
                if answer.status_code != 401:
                    yield self._good(answer)
                    return
                asked = errors.challenge(answer.headers.get("WWW-Authenticate", ""))
            token = self._bearer.token(refused=token, claims=asked)
            with self._held(method, path, token, headers, body) as answer:
                yield self._good(answer)
        except SourceError:
            raise
        except OSError as e:  # those of requests are too
            raise errors.broken(self._settings, e) from e

    @contextlib.contextmanager
    def _held(
        self, method: str, path: str, token: str, headers: Mapping[str, str], body: bytes | None
    ) -> Iterator[requests.Response]:
        """An answer, whatever it says; it has its places until it was read."""
        with (
            self._place(self._places),
            self._place(_all_places),
            self._sent(method, path, token, headers, body) as answer,
        ):
            yield answer

    def _good(self, answer: requests.Response) -> requests.Response:
        if not 200 <= answer.status_code < 300:
            raise self._refused(answer)
        return answer

    def _sent(
        self, method: str, path: str, token: str, headers: Mapping[str, str], body: bytes | None
    ) -> requests.Response:
        """Sends it; what changes nothing once more if the connection, which may have been idle for long, has ended."""
        for last in (method != "GET", True):
            self._alive()
            if self._closed:
                raise SourceError("ConnectionFailed", f"the connection to {self._settings.host} was closed")
            try:
                return self._session.request(
                    method,
                    self._settings.url(path),
                    headers={**headers, "Authorization": f"Bearer {token}"},
                    data=body,
                    timeout=self._settings.timeout,
                    stream=True,
                    allow_redirects=False,
                )
            except requests.ConnectionError as e:
                if last or isinstance(e, requests.Timeout):
                    raise
        raise AssertionError("the second time was the last one")

    def _refused(self, answer: requests.Response) -> SourceError:
        body = b""
        with contextlib.suppress(OSError, SourceError):  # the status alone says enough
            body = b"".join(self._pieces(answer, _LONGEST_ERROR))
        return errors.refused(self._settings, status=answer.status_code, headers=answer.headers, body=body)

    def _object(self, answer: requests.Response) -> dict[str, Any]:
        body = b"".join(self._pieces(answer, LONGEST_JSON))
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            raise errors.odd(self._settings, "sends something that is not JSON") from None
        if not isinstance(found, dict):
            raise errors.odd(self._settings, "sends JSON of another kind")
        return found

    def _pieces(self, answer: requests.Response, most: int | None) -> Iterator[bytes]:
        """The body as it comes: to wait until a piece is full would be no sign of life where it comes slowly."""
        length = 0
        # Anything else is not taken apart by http.client, and would be stored with what is around it.
        if answer.headers.get("Transfer-Encoding", "chunked").strip().lower() != "chunked":
            raise errors.odd(self._settings, "sends a body in a form that nobody asked for (Transfer-Encoding)")
        try:
            while piece := answer.raw.read1(_PIECE, decode_content=True):
                self._alive()
                length += len(piece)
                if most is not None and length > most:
                    raise errors.odd(self._settings, f"sends an answer of more than {most} bytes")
                yield piece
        # A large mail is read by whoever stores it, not where the answer was asked for.
        except (OSError, urllib3.exceptions.HTTPError) as e:
            raise errors.broken(self._settings, e) from e

    @contextlib.contextmanager
    def _place(self, places: threading.BoundedSemaphore) -> Iterator[None]:
        while not places.acquire(timeout=1.0):
            self._alive()
        try:
            yield
        finally:
            places.release()


def _applied(headers: Mapping[str, str]) -> str:
    return headers.get("Preference-Applied", "").replace('"', "").replace(" ", "").lower()
