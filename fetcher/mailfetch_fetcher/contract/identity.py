"""Which mailbox a spec means: the identity that the gate and the store compare."""

import hashlib

from mailfetch_fetcher.contract.server import mail_server
from mailfetch_fetcher.contract.spec import Spec, default_port


def mailbox_identity(spec: Spec) -> str:
    """`sha256:` of protocol, host, port, user, shared mailbox and folder.

    A change means another mailbox: the gate closes and the old cursor is never used on it.
    Password, encryption and schedule are not part of it. The host is compared without regard to
    case, and a provider's own host may be written or left out; INBOX too is compared without regard to case (RFC 9051
    section 5.1), every other folder exactly.
    """
    host, port = "", 0
    if server := mail_server(spec):
        host = server.host.lower().rstrip(".")
        port = server.port or default_port(spec.protocol, server.encryption)
        if port == default_port(spec.protocol, "TLS") or port == default_port(spec.protocol, "None"):
            port = 0  # switching from StartTLS to TLS on the usual ports is the same mailbox
    folder = spec.folder or "INBOX"
    if folder.upper() == "INBOX":
        folder = "INBOX"
    cloud = spec.auth.oauth2.cloud if spec.auth.oauth2 else ""
    parts = (spec.protocol, host, str(port), spec.auth.username, spec.shared_mailbox, folder, cloud)
    text = "\0".join(f"{len(p)}:{p}" for p in parts)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:32]
