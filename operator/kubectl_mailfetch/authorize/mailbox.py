"""Whether the account that signed in may open the mailbox: the same login as the fetcher's, read-only."""

import base64
import imaplib
import poplib
import re
import ssl
from collections.abc import Callable, Collection, Iterator
from typing import Any
from urllib.parse import quote

import requests

from kubectl_mailfetch.authorize.http import TIMEOUT, Http, Odd
from kubectl_mailfetch.authorize.plan import Plan
from kubectl_mailfetch.authorize.words import Granted
from kubectl_mailfetch.errors import PluginError
from kubectl_mailfetch.model import said

_LATER = re.compile(
    r"throttl|too many|bandwidth|unavailable|try again|\[(IN-USE|LOGIN-DELAY|SYS/TEMP)\]", re.IGNORECASE
)
"""Refusals that say nothing of the account."""
_WELL_KNOWN = {"inbox", "archive", "deleteditems", "drafts", "junkemail", "sentitems"}


def check_mailbox(granted: Granted, plan: Plan, *, http: Http, ca_file: str) -> None:
    """Opens the mailbox.

    Args:
        granted: From the sign-in.
        plan: Which mailbox, and how.
        http: To Graph.
        ca_file: The only authorities to trust (PEM), or empty.

    Raises:
        PluginError: it cannot be opened; says what to change.
    """
    if plan.protocol == "MicrosoftGraph":
        return _graph(granted, plan, http)
    context = ssl.create_default_context(cafile=ca_file or None)
    look = _imap if plan.protocol == "IMAP" else _pop3
    server = f"{plan.host}:{plan.port}"
    try:
        look(granted, plan, context)
    except ssl.SSLCertVerificationError as e:
        raise _unreachable(
            server, f"its certificate is not trusted ({e.verify_message}); see --ca-file", plan
        ) from None
    except (imaplib.IMAP4.abort, OSError, EOFError) as e:
        raise _unreachable(server, said(getattr(e, "strerror", None) or e)[:200] or type(e).__name__, plan) from None
    except (imaplib.IMAP4.error, poplib.error_proto) as e:
        text = said(e)[:300]
        if _LATER.search(text):
            raise _unreachable(server, text, plan) from None
        raise _refused(text, granted, plan) from None


def _imap(granted: Granted, plan: Plan, context: ssl.SSLContext) -> None:
    """SASL, then EXAMINE."""
    if plan.start_tls:
        imap = imaplib.IMAP4(plan.host, plan.port, timeout=TIMEOUT)
        imap.starttls(context)
    else:
        imap = imaplib.IMAP4_SSL(plan.host, plan.port, ssl_context=context, timeout=TIMEOUT)
    try:
        offered = {c.removeprefix("AUTH=") for c in imap.capabilities if c.startswith("AUTH=")}
        mechanism, message, confirm = _sasl(offered, granted, plan)
        challenges: list[bytes] = []

        def answer(challenge: bytes) -> bytes:
            # The first is empty; a second one is the server's reason, which is confirmed.
            challenges.append(challenge)
            return confirm if len(challenges) > 1 else message

        imap.authenticate(mechanism, answer)
        status, told = imap.select(_quoted(plan.folder or "INBOX"), readonly=True)
        if status != "OK":
            raise _no_folder(said(b"".join(t for t in told if t).decode(errors="replace"))[:200], plan)
    finally:
        imap.shutdown()  # no LOGOUT: where the server has hung up after a refusal, its failure would hide the refusal


def _pop3(granted: Granted, plan: Plan, context: ssl.SSLContext) -> None:
    """SASL in two lines, which Microsoft insists on; then STAT."""
    if plan.start_tls:
        pop3 = poplib.POP3(plan.host, plan.port, timeout=TIMEOUT)
        pop3.stls(context)
    else:
        pop3 = poplib.POP3_SSL(plan.host, plan.port, context=context, timeout=TIMEOUT)
    try:
        send: Callable[[str], bytes] = pop3._shortcmd  # type: ignore[attr-defined] # poplib knows no AUTH
        mechanism, message, confirm = _sasl(set(pop3.capa().get("SASL", [])), granted, plan)
        send(f"AUTH {mechanism}")
        if not send(base64.b64encode(message).decode()).startswith(b"+OK"):
            send(base64.b64encode(confirm).decode())  # the server gave its reason; now it refuses
        pop3.stat()
        pop3.quit()
    finally:
        pop3.close()


def _graph(granted: Granted, plan: Plan, http: Http) -> None:
    """The folder if it is well known, else the inbox: the test that follows looks for the folder itself."""
    folder = plan.folder.lower() if plan.folder.lower() in _WELL_KNOWN else "inbox"
    status, body = _get(f"/users/{quote(plan.mailbox, safe='@')}/mailFolders/{folder}", granted, plan, http)
    if status != 200:
        error = body.get("error") or {}
        text = f"{status} {said(error.get('code') or '')} {said(error.get('message') or '')[:200]}".strip()
        raise _unreachable(plan.cloud.graph, text, plan) if status >= 429 else _refused(text, granted, plan)


def _get(path: str, granted: Granted, plan: Plan, http: Http) -> tuple[int, dict[str, Any]]:
    try:
        response = http.get(
            f"https://{plan.cloud.graph}/v1.0{path}",
            headers={"Authorization": f"Bearer {granted.access}", "Prefer": 'IdType="ImmutableId"'},
        )
    except requests.RequestException as e:
        raise _unreachable(plan.cloud.graph, str(e) if isinstance(e, Odd) else type(e).__name__, plan) from None
    return response.status_code, response.json()


def _sasl(offered: Collection[str], granted: Granted, plan: Plan) -> tuple[str, bytes, bytes]:
    """Mechanism, message, and what confirms a refusal, chosen as the fetcher does.

    XOAUTH2 (developers.google.com/workspace/gmail/imap/xoauth2-protocol), else OAUTHBEARER (RFC 7628).
    """
    bearer = f"auth=Bearer {granted.access}\x01\x01"
    if "OAUTHBEARER" in offered and "XOAUTH2" not in offered:
        user = plan.mailbox.replace("=", "=3D").replace(",", "=2C")
        message = f"n,a={user},\x01host={plan.host}\x01port={plan.port}\x01{bearer}"
        return "OAUTHBEARER", message.encode(), b"\x01"
    return "XOAUTH2", f"user={plan.mailbox}\x01{bearer}".encode(), b""


def _quoted(folder: str) -> str:
    """Modified UTF-7 (RFC 3501 section 5.1.3) in quotes."""

    def encoded(match: re.Match[str]) -> str:
        if match[0] == "&":
            return "&-"
        return f"&{base64.b64encode(match[0].encode('utf-16-be')).decode().rstrip('=').replace('/', ',')}-"

    name = re.sub(r"&|[^\x20-\x7e]+", encoded, folder)
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _same(a: str, b: str) -> bool:
    return bool(a) and a.casefold() == b.casefold()


def _refused(text: str, granted: Granted, plan: Plan) -> PluginError:
    signed_in = granted.account or "whoever signed in"
    first = f"{signed_in} may not open the mailbox {plan.mailbox}; the server said: {text}"
    return PluginError("\n".join([first, *_remedies(granted, plan), "Nothing was written."]))


def _remedies(granted: Granted, plan: Plan) -> Iterator[str]:
    kind = "POP" if plan.protocol == "POP3" else "IMAP"
    if plan.provider == "Google":
        yield f"Sign in as {plan.username}, and see that {kind} is on (Gmail's settings; Workspace: Admin console)."
        return
    if granted.account and not _same(granted.account, plan.username):
        yield f"Run the command again and sign in as spec.auth.username, {plan.username}."
        if not plan.shared:
            yield (
                f"Or, to open {plan.mailbox} as another account that may, set spec.auth.username to that account and"
                f" spec.sharedMailbox to {plan.mailbox}."
            )
        return
    if plan.protocol == "MicrosoftGraph" and not plan.shared:
        yield f"See that {plan.username} is the account's user name, and that it has an Exchange Online licence."
        return
    yield "In Exchange Online PowerShell (a change needs up to an hour):"
    if plan.protocol != "MicrosoftGraph":
        yield f"Set-CASMailbox -Identity {plan.mailbox} -{kind.capitalize()}Enabled $true"
    if plan.shared:
        yield f"Add-MailboxPermission -Identity {plan.mailbox} -User {plan.username} -AccessRights FullAccess"


def _no_folder(text: str, plan: Plan) -> PluginError:
    return PluginError(
        f"the mailbox {plan.mailbox} was opened, but its folder {plan.folder or 'INBOX'} cannot be: {text}\nCorrect"
        " spec.folder, as the server spells it. Nothing was written."
    )


def _unreachable(server: str, why: str, plan: Plan) -> PluginError:
    if plan.provider == "Google":
        remedy = f"Run the command where {server} can be reached: Google tells in no other way who signed in."
    else:
        remedy = f"If the fetcher reaches it, do without the trial:\n{plan.again} --no-check"
    return PluginError(
        f"signed in, but the mailbox cannot be tried from this machine: {server}: {why}. Nothing was written. {remedy}"
    )
