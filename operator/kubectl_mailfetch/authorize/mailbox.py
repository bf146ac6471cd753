"""Whether the account that signed in may open the mailbox: the same login as the fetcher's, read-only."""

import base64
import imaplib
import poplib
import re
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import requests

from kubectl_mailfetch.authorize.http import TIMEOUT, Http, Odd
from kubectl_mailfetch.authorize.plan import Plan
from kubectl_mailfetch.authorize.words import Granted
from kubectl_mailfetch.errors import PluginError
from kubectl_mailfetch.model import plain

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
        raise _unreachable(server, plain(getattr(e, "strerror", None) or e)[:200] or type(e).__name__, plan) from None
    except (imaplib.IMAP4.error, poplib.error_proto) as e:
        said = plain(e)[:300]
        if _LATER.search(said):
            raise _unreachable(server, said, plan) from None
        raise _refused(said, granted, plan) from None


def _imap(granted: Granted, plan: Plan, context: ssl.SSLContext) -> None:
    """SASL XOAUTH2 (developers.google.com/workspace/gmail/imap/xoauth2-protocol), then EXAMINE."""
    if plan.start_tls:
        imap = imaplib.IMAP4(plan.host, plan.port, timeout=TIMEOUT)
        imap.starttls(context)
    else:
        imap = imaplib.IMAP4_SSL(plan.host, plan.port, ssl_context=context, timeout=TIMEOUT)
    with imap:
        challenges: list[bytes] = []

        def answer(challenge: bytes) -> bytes:
            # The first is empty; a second one is the server's reason, which an empty line confirms.
            challenges.append(challenge)
            return b"" if len(challenges) > 1 else _xoauth2(granted, plan)

        imap.authenticate("XOAUTH2", answer)
        status, told = imap.select(_quoted(plan.folder or "INBOX"), readonly=True)
        if status != "OK":
            raise _no_folder(plain(b"".join(t for t in told if t).decode(errors="replace"))[:200], plan)


def _pop3(granted: Granted, plan: Plan, context: ssl.SSLContext) -> None:
    """SASL XOAUTH2 in two lines, which Microsoft insists on; then STAT."""
    if plan.start_tls:
        pop3 = poplib.POP3(plan.host, plan.port, timeout=TIMEOUT)
        pop3.stls(context)
    else:
        pop3 = poplib.POP3_SSL(plan.host, plan.port, context=context, timeout=TIMEOUT)
    try:
        send: Callable[[str], bytes] = pop3._shortcmd  # type: ignore[attr-defined] # poplib knows no AUTH
        send("AUTH XOAUTH2")
        if not send(base64.b64encode(_xoauth2(granted, plan)).decode()).startswith(b"+OK"):
            send("")  # the reason of the server, which an empty line confirms; then it refuses
        pop3.stat()
        pop3.quit()
    finally:
        pop3.close()


def _graph(granted: Granted, plan: Plan, http: Http) -> None:
    """The folder if it is well known, else the inbox: the test that follows looks for the folder itself."""
    own = not plan.shared
    if own and not _same(granted.account, plan.username):
        _check_own(granted, plan, http)
    base = "/me" if own else f"/users/{quote(plan.shared)}"
    folder = plan.folder.lower() if plan.folder.lower() in _WELL_KNOWN else "inbox"
    status, body = _get(f"{base}/mailFolders/{folder}", granted, plan, http)
    if status != 200:
        error = body.get("error") or {}
        said = f"{status} {plain(error.get('code') or '')} {plain(error.get('message') or '')[:200]}".strip()
        raise _unreachable(plan.cloud.graph, said, plan) if status >= 429 else _refused(said, granted, plan)


def _check_own(granted: Granted, plan: Plan, http: Http) -> None:
    """The account's own mailbox is opened, so the account must be the one that is named (or have that address)."""
    _, me = _get("/me?$select=mail,userPrincipalName", granted, plan, http)
    addresses = [str(me.get("mail") or ""), str(me.get("userPrincipalName") or "")]
    if not any(_same(a, plan.username) for a in addresses):
        raise PluginError(
            f"{granted.account or 'another account'} signed in, but spec.auth.username is {plan.username}, and Graph"
            " opens the mailbox of who signed in. Run the command again and sign in with that account; or, to open"
            f" {plan.username} as somebody who may, set auth.username to that account and sharedMailbox to"
            f" {plan.username}. Nothing was written."
        )


def _get(path: str, granted: Granted, plan: Plan, http: Http) -> tuple[int, dict[str, Any]]:
    try:
        response = http.get(
            f"https://{plan.cloud.graph}/v1.0{path}",
            headers={"Authorization": f"Bearer {granted.access}", "Prefer": 'IdType="ImmutableId"'},
        )
    except requests.RequestException as e:
        raise _unreachable(plan.cloud.graph, str(e) if isinstance(e, Odd) else type(e).__name__, plan) from None
    return response.status_code, response.json()


def _xoauth2(granted: Granted, plan: Plan) -> bytes:
    return f"user={plan.mailbox}\x01auth=Bearer {granted.access}\x01\x01".encode()


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


def _refused(said: str, granted: Granted, plan: Plan) -> PluginError:
    who = granted.account or plan.username
    lines = [f"{who} signed in, but may not open the mailbox {plan.mailbox}; the server said: {said}"]
    if granted.account and not _same(granted.account, plan.username):
        lines.append(f"Another account signed in than spec.auth.username, {plan.username}: sign in with that one.")
    if plan.provider == "Google":
        lines.append(
            f"Sign in as {plan.username}, and see that IMAP or POP is on (Gmail's settings; Workspace: Admin console)."
        )
    elif plan.protocol == "MicrosoftGraph":
        lines.append(
            f"In Exchange: Add-MailboxPermission -Identity {plan.mailbox} -User {who} -AccessRights FullAccess"
        )
    else:
        kind = "Imap" if plan.protocol == "IMAP" else "Pop"
        lines.append("In Exchange Online PowerShell:")
        lines.append(f"Set-CASMailbox -Identity {plan.mailbox} -{kind}Enabled $true")
        if not _same(who, plan.mailbox):
            lines.append(f"Add-MailboxPermission -Identity {plan.mailbox} -User {who} -AccessRights FullAccess")
    return PluginError("\n".join([*lines, "Such changes need up to an hour. Nothing was written."]))


def _no_folder(said: str, plan: Plan) -> PluginError:
    return PluginError(
        f"the mailbox {plan.mailbox} was opened, but its folder {plan.folder or 'INBOX'} cannot be: {said}\nCorrect"
        " spec.folder, as the server spells it. Nothing was written."
    )


def _unreachable(server: str, why: str, plan: Plan) -> PluginError:
    return PluginError(
        f"signed in, but the mailbox cannot be tried from this machine: {server}: {why}. Nothing was written. If the"
        f" cluster reaches it, do without the trial:\n{plan.again} --no-check"
    )
