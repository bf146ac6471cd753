"""One visit to an authority: what msal and google-auth need of HTTP, and whatever goes wrong as one exception.

The libraries read refusals in ways of their own (exceptions without the status, waits, caches), so they only ever see
answers that hold a token or a document; everything else ends here.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests

from mailfetch_fetcher.contract import providers
from mailfetch_fetcher.contract.reasons import Reason
from mailfetch_fetcher.errors import Pace, SourceError
from mailfetch_fetcher.https import Answer, new_session, send

_VISIBLE = re.compile(r"[ -~]+")
"""What a token is made of (RFC 6749 appendix A.12)."""


class Refused(Exception):
    """The authority answered with something else than what was asked for."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"HTTP {answer.status_code}")
        self.answer = answer


class Authority:
    """HTTP as msal wants it (`http_client`); see `visit`."""

    def __init__(self, session: requests.Session, *, host: str, domain: str, timeout: float) -> None:
        self._session = session
        self._host = host
        # At the start of an address, up to the slash: no two readers of addresses can disagree about it.
        self._ours = re.compile(rf"https://([a-z0-9-]+\.)*{re.escape(domain)}(:443)?/", re.IGNORECASE)
        self._timeout = timeout

    def get(self, url: str, *, params: Any = None, headers: Mapping[str, str] | None = None, **_: Any) -> Answer:
        """Fetches a document."""
        return self._send("GET", url, params=params, headers=headers)

    def post(
        self, url: str, *, data: Any = None, params: Any = None, headers: Mapping[str, str] | None = None, **_: Any
    ) -> Answer:
        """Sends a form.

        Raises:
            Refused: the answer is no token.
            SourceError: the address is not of the authority.
            requests.RequestException: there was no answer.
        """
        return self._send("POST", url, data=data, params=params, headers=headers)

    def close(self) -> None:
        """For msal."""

    def _send(self, method: str, url: str, **what: Any) -> Answer:
        if not self._ours.match(url):  # a discovery document may name any
            raise _elsewhere(self._host, url)
        answer = send(self._session, method, url, timeout=self._timeout, **what)
        if answer.status_code != 200 or not _is_good(answer.text, token=method == "POST"):
            raise Refused(answer)
        return answer


@contextmanager
def visit(host: str, *, domain: str, ca: bytes | None, timeout: float) -> Iterator[Authority]:
    """A connection for one token.

    Args:
        host: For messages.
        domain: Nothing is sent to hosts outside of it.
        ca: PEM certificates to trust instead of the system's, or None.
        timeout: Seconds that an answer may take.

    Raises:
        SourceError: ConnectionFailed or TLSFailed where there was no answer.
    """
    with new_session(ca=ca) as session:
        try:
            yield Authority(session, host=host, domain=domain, timeout=timeout)
        except requests.exceptions.SSLError as e:
            raise _unreachable("TLSFailed", host, e, pace=Pace.CONFIGURATION) from None
        except requests.RequestException as e:
            raise _unreachable("ConnectionFailed", host, e, pace=Pace.QUICK) from None


def _unreachable(reason: Reason, host: str, error: Exception, *, pace: Pace) -> SourceError:
    """No chain and no text of the library: it may quote what was sent."""
    if reason == "TLSFailed":
        todo = (
            "if it is behind a proxy that opens TLS, put the proxy's CA into a Secret and name it in "
            "spec.tls.caSecretRef"
        )
        what = f"the certificate of {host} is not trusted"
    elif isinstance(error, requests.Timeout):
        what, todo = f"{host} did not answer in time", "check that no firewall or NetworkPolicy drops the connection"
    else:
        what, todo = f"{host} cannot be reached", "check the network and the name service of the pod"
    return SourceError(reason, f"no access token: {what}; {todo}", pace=pace)


def _elsewhere(host: str, url: str) -> SourceError:
    """Another host is only named where it is one that we know: it is the other side's text."""
    clouds = [name for name, cloud in providers.CLOUDS.items() if url.startswith(f"https://{cloud.authority}/")]
    where = f"the host of another cloud ({' or '.join(clouds)})" if clouds else "a host that is not of this cloud"
    return SourceError(
        "InvalidConfiguration",
        f"no access token: {host} wants the request to be sent to {where}, which was not done; check that "
        "spec.auth.oauth2.cloud is the cloud of the tenant in key 'tenant-id' of the client Secret",
        pace=Pace.CONFIGURATION,
    )


def _is_good(text: str, *, token: bool) -> bool:
    """A JSON object; where a token was asked for, with one in it."""
    try:
        told = json.loads(text)
        return isinstance(told, dict) and (not token or _has_token(told))
    except (ValueError, KeyError, TypeError):
        return False


def _has_token(told: Mapping[str, Any]) -> bool:
    tokens = (told["access_token"], told.get("refresh_token") or "none")
    return all(_VISIBLE.fullmatch(token) for token in tokens) and int(told["expires_in"]) >= 0
