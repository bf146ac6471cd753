"""One verified TLS context for each set of certificate authorities, shared by all connections of the process.

A context of its own costs each connection 849 kB (measured), so contexts are kept by the bytes of the CA file.
"""

import ssl
import threading

from mailfetch_fetcher.errors import Pace, SourceError

_contexts: dict[bytes, ssl.SSLContext] = {}
_lock = threading.Lock()


def client_context(ca: bytes | None = None) -> ssl.SSLContext:
    """A context that verifies chain and host name and speaks TLS 1.2 or newer.

    Args:
        ca: PEM certificates to trust instead of the system's, or None for the system's.

    Raises:
        SourceError: `ca` holds no certificate that can be read.
    """
    key = ca or b""
    with _lock:
        if key not in _contexts:
            _contexts[key] = new_context(ca)
        return _contexts[key]


def new_context(ca: bytes | None = None) -> ssl.SSLContext:
    """The same, shared with nobody: for libraries that change the context that they are given."""
    if not ca:
        context = ssl.create_default_context()
    else:
        try:
            context = ssl.create_default_context(cadata=ca.decode("ascii"))
        except (UnicodeDecodeError, ssl.SSLError, ValueError) as e:
            raise SourceError(
                "InvalidConfiguration",
                "the CA of spec.tls.caSecretRef is no PEM certificate; it must begin with -----BEGIN CERTIFICATE-----",
                pace=Pace.CONFIGURATION,
            ) from e
        # The same rules on every Python: an intermediate may be the anchor, and a private CA of old need not
        # have every extension that RFC 5280 asks for (Python 3.13 began to insist).
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
