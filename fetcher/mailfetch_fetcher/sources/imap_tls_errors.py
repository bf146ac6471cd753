"""Failures of TLS, decoded for the administrator (pure); see imap_errors.py. The password was never sent."""

import ssl

from mailfetch_fetcher.errors import Pace, SourceError
from mailfetch_fetcher.sources.imap_settings import ImapSettings

_EXPIRED, _NOT_YET, _SELF_SIGNED, _WRONG_HOST, _WRONG_ADDRESS = 10, 9, 18, 62, 64
"""X509_V_ERR_… of OpenSSL."""
_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG")
_OLD_TLS = ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "VERSION_TOO_LOW", "NO_PROTOCOLS_AVAILABLE")


def tls_failed(settings: ImapSettings, error: OSError) -> SourceError:
    """The handshake did not succeed."""
    where, reason = settings.address, str(getattr(error, "reason", "") or "")
    if isinstance(error, TimeoutError):
        return SourceError(
            "ConnectionFailed",
            f"{where} did not answer the TLS handshake within {settings.timeout:g} s; if this port does not begin with "
            "TLS, set spec.server.encryption StartTLS",
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        text = _certificate(settings, error)
    elif any(name in reason for name in _NOT_TLS):
        text = (
            f"{where} does not begin with TLS; set spec.server.encryption StartTLS, or correct spec.server.port "
            "(993 for TLS)"
            if settings.encryption == "TLS"
            else f"{where} agreed to STARTTLS but does not speak TLS; repair the server"
        )
    elif any(name in reason for name in _OLD_TLS):
        text = f"{where} offers only TLS versions older than 1.2, which are not safe; update the server"
    elif isinstance(error, ssl.SSLError):
        text = (
            f"the TLS handshake with {where} failed ({reason.lower() or error}); check the server's TLS configuration"
        )
    else:
        text = f"{where} broke the connection in the TLS handshake; "
        text += (
            "if this port does not begin with TLS, set spec.server.encryption StartTLS, or correct spec.server.port"
            if settings.encryption == "TLS"
            else "check the server's TLS configuration"
        )
    return SourceError("TLSFailed", text, pace=Pace.CONFIGURATION)


def _certificate(settings: ImapSettings, error: ssl.SSLCertVerificationError) -> str:
    where, code = settings.address, error.verify_code
    if code == _EXPIRED:
        return f"the certificate of {where} has expired; renew it at the server"
    if code == _NOT_YET:
        return f"the certificate of {where} is not valid yet; check the clocks of the server and of the node"
    if code in (_WRONG_HOST, _WRONG_ADDRESS):
        return (
            f"the certificate of {where} is for another name ({error.verify_message}); set spec.server.host to a name "
            "that the certificate holds, or renew the certificate for this name"
        )
    kind = "is self-signed" if code == _SELF_SIGNED else f"is not trusted ({error.verify_message})"
    return (
        f"the certificate of {where} {kind}; if it was issued by your own CA, put the CA into a Secret and name it in "
        "spec.tls.caSecretRef"
    )


def no_starttls(settings: ImapSettings, why: str) -> SourceError:
    """StartTLS was asked for and cannot be had; the password was not sent."""
    return SourceError(
        "TLSFailed",
        f"{settings.address} {why}, so the password was not sent; set spec.server.encryption TLS (port 993) if the "
        "server offers it, and if it should offer STARTTLS, somebody on the way may have removed it",
        pace=Pace.CONFIGURATION,
    )


def injected(address: str) -> SourceError:
    """Bytes in the clear after the answer to STARTTLS would be taken for encrypted ones."""
    return SourceError(
        "TLSFailed",
        f"{address} sent more before TLS began, as an attacker on the way would do; the password was not sent",
        pace=Pace.CONFIGURATION,
    )
