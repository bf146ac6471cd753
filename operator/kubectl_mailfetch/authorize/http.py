"""HTTPS to the provider: with the proxies and authorities of this machine, or only the authority that is given."""

from typing import Any

import requests

TIMEOUT = 30.0
"""Seconds that a server may be silent."""
LONGEST = 1024 * 1024
"""Bytes of an answer: tokens have some kilobytes."""


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
            requests.RequestException: no answer, or one that is too long.
        """
        kwargs |= {"timeout": kwargs.get("timeout") or TIMEOUT, "allow_redirects": False, "stream": True}
        with super().request(method, url, *args, **kwargs) as response:
            body = b""
            for piece in response.iter_content(64 * 1024):
                body += piece
                if len(body) > LONGEST:
                    raise requests.RequestException("the answer is too long")
            response._content = body  # what `content` and `text` read
        return response


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
