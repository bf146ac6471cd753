"""HTTPS to the provider: with the proxies and authorities of this machine, or only the authority that is given."""

import json
import ssl
from typing import Any

import requests

from kubectl_mailfetch.errors import Exit, PluginError

TIMEOUT = 30.0
"""Seconds that a server may be silent."""
LONGEST = 1024 * 1024
"""Bytes of an answer: tokens have some kilobytes."""


def check_authorities(path: str) -> None:
    """Sees that the file can be used.

    Raises:
        PluginError: it is not there, or holds no certificates.
    """
    try:
        ssl.create_default_context(cafile=path)
    except OSError as e:  # an SSLError is one
        raise PluginError(
            f"--ca-file names {path}, which holds no certificates in PEM ({e.strerror})", code=Exit.USAGE
        ) from e


class Odd(requests.RequestException):
    """An answer that is not a JSON object: a proxy's page, a redirect, a fault."""


class Http(requests.Session):
    """A session that follows no redirects (they would take the token along), with a time-out and bounded answers."""

    def __init__(self, ca_file: str = "", **kwargs: Any) -> None:
        """Prepares it.

        Args:
            ca_file: The only authorities to trust (PEM), or empty.
            **kwargs: For the other base of a subclass.
        """
        super().__init__(**kwargs)
        self.auth = _as_it_is  # not what ~/.netrc has for that host
        if ca_file:
            self.trust_env = False  # or REQUESTS_CA_BUNDLE would overrule the file
            self.verify = ca_file

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """One request.

        Raises:
            requests.RequestException: no answer, or one that is too long or not a JSON object, which the libraries
                would stumble over.
        """
        kwargs |= {"timeout": kwargs.get("timeout") or TIMEOUT, "allow_redirects": False, "stream": True}
        with super().request(method, url, *args, **kwargs) as response:
            body = b""
            for piece in response.iter_content(64 * 1024):
                body += piece
                if len(body) > LONGEST:
                    raise Odd("an answer that is too long")
            response._content = body  # what `content` and `text` read
        if not _is_object(body):
            raise Odd(f"HTTP status {response.status_code} and something that is not JSON")
        return response


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except ValueError:
        return False


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
