"""What went wrong on the way to a mail server, decoded for the administrator (pure): name, network, TLS.

Nothing of it depends on the protocol above. The password was never sent.
"""

import socket
import ssl
from typing import Protocol

from mailfetch_fetcher.contract.spec import Encryption
from mailfetch_fetcher.errors import Pace, SourceError

_EXPIRED, _NOT_YET, _SELF_SIGNED, _WRONG_HOST, _WRONG_ADDRESS = 10, 9, 18, 62, 64
"""X509_V_ERR_… of OpenSSL."""
_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG")
_OLD_TLS = ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "VERSION_TOO_LOW", "NO_PROTOCOLS_AVAILABLE")


class Server(Protocol):
    """Where a server is and how it is spoken to, as far as messages need it."""

    @property
    def host(self) -> str:
        """Name or address."""
        ...

    @property
    def port(self) -> int:
        """Port."""
        ...

    @property
    def address(self) -> str:
        """`host:port`, for messages."""
        ...

    @property
    def encryption(self) -> Encryption:
        """TLS from the first byte, StartTLS, or None."""
        ...

    @property
    def timeout(self) -> float:
        """Seconds that it may be silent."""
        ...

    @property
    def tls_port(self) -> int:
        """The protocol's own port for TLS from the first byte."""
        ...

    @property
    def start_tls(self) -> str:
        """The protocol's command for StartTLS."""
        ...


def unknown_host(server: Server, error: Exception) -> SourceError:
    """The name was not found, or could not be asked for."""
    again = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
    if isinstance(error, UnicodeError):
        return SourceError(
            "InvalidConfiguration",
            f"spec.server.host '{server.host}' is not a host name; write it as in mail.example.com",
            pace=Pace.CONFIGURATION,
        )
    what = "did not answer" if again else "does not know the name"
    return SourceError(
        "ConnectionFailed",
        f"unknown host {server.host}: the name service {what}; check spec.server.host, and that the pod's DNS can "
        "resolve it",
        pace=Pace.QUICK if again else Pace.CONFIGURATION,
    )


def unreachable(server: Server, error: OSError) -> SourceError:
    """No TCP connection."""
    if isinstance(error, ConnectionRefusedError):
        what = f"{server.address} refused the connection: nothing listens there"
        todo = "check spec.server.host and spec.server.port, and that the server runs"
    elif isinstance(error, TimeoutError):
        what = f"{server.address} did not answer within {server.timeout:g} s"
        todo = "check spec.server.host and spec.server.port, and that no firewall or NetworkPolicy drops the connection"
    else:
        what = f"{server.address} cannot be reached: {error.strerror or error}"
        todo = "check spec.server.host, and the network of the pod"
    return SourceError("ConnectionFailed", f"{what}; {todo}")


def no_greeting(server: Server) -> SourceError:
    """Connected, but the server says nothing: often a port that waits for TLS."""
    hint = (
        f"; if this port expects TLS from the first byte (as {server.tls_port} does), set spec.server.encryption TLS"
        if server.encryption != "TLS"
        else ""
    )
    return SourceError(
        "ConnectionFailed",
        f"{server.address} accepted the connection but sent no greeting in {server.timeout:g} s{hint}",
    )


# ---- TLS ----


def insecure() -> SourceError:
    """A password would travel in the clear without permission."""
    return SourceError(
        "InvalidConfiguration",
        "spec.server.encryption None sends the password unencrypted; use TLS or StartTLS, or set "
        "spec.server.allowInsecureLogin: true",
        pace=Pace.CONFIGURATION,
    )


def tls_failed(server: Server, error: OSError) -> SourceError:
    """The handshake did not succeed."""
    where, reason = server.address, str(getattr(error, "reason", "") or "")
    if isinstance(error, TimeoutError):
        return SourceError(
            "ConnectionFailed",
            f"{where} did not answer the TLS handshake within {server.timeout:g} s; if this port does not begin with "
            "TLS, set spec.server.encryption StartTLS",
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        text = _certificate(server, error)
    elif any(name in reason for name in _NOT_TLS):
        text = (
            f"{where} does not begin with TLS; set spec.server.encryption StartTLS, or correct spec.server.port "
            f"({server.tls_port} for TLS)"
            if server.encryption == "TLS"
            else f"{where} agreed to {server.start_tls} but does not speak TLS; repair the server"
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
            if server.encryption == "TLS"
            else "check the server's TLS configuration"
        )
    return SourceError("TLSFailed", text, pace=Pace.CONFIGURATION)


def _certificate(server: Server, error: ssl.SSLCertVerificationError) -> str:
    where, code = server.address, error.verify_code
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


def no_start_tls(server: Server, why: str) -> SourceError:
    """StartTLS was asked for and cannot be had; the password was not sent."""
    return SourceError(
        "TLSFailed",
        f"{server.address} {why}, so the password was not sent; set spec.server.encryption TLS (port "
        f"{server.tls_port}) if the server offers it, and if it should offer {server.start_tls}, somebody on the way "
        "may have removed it",
        pace=Pace.CONFIGURATION,
    )


def injected(address: str) -> SourceError:
    """Bytes in the clear after the answer to StartTLS would be taken for encrypted ones."""
    return SourceError(
        "TLSFailed",
        f"{address} sent more before TLS began, as an attacker on the way would do; the password was not sent",
        pace=Pace.CONFIGURATION,
    )
