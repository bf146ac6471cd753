"""What Microsoft Graph says when it refuses, decoded for the administrator (pure).

Decisions are made by status and `error.code`, never by the text (learn.microsoft.com "Microsoft Graph error responses
and resource types"). No token is ever part of a message.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from mailfetch_fetcher.contract.reasons import Reason
from mailfetch_fetcher.contract.texts import without_credentials
from mailfetch_fetcher.errors import Pace, SourceError
from mailfetch_fetcher.https import retry_after
from mailfetch_fetcher.sources.graph_settings import GraphSettings

THROTTLED = (429, 503, 504, 509)
UNCONVERTIBLE = "ErrorMimeContentConversionFailed"
"""The code for a mail of which Exchange cannot make MIME, for ever (opaque S/MIME, some bounces)."""
_LONGEST = 300
_CLAIMS = re.compile(r'claims="([A-Za-z0-9+/_=-]+)"')


class Refused(SourceError):
    """An answer that is an error; whoever knows better what it means looks at `status` and `code`.

    Attributes:
        status: HTTP status.
        code: `error.code`, or empty.
    """

    def __init__(self, status: int, code: str, reason: Reason, message: str, *, pace: Pace) -> None:
        super().__init__(reason, message, pace=pace)
        self.status = status
        self.code = code

    @property
    def not_found(self) -> bool:
        """What was asked for is not there; not if the mailbox is not, or if it is not Graph's own word."""
        return self.status == 404 and self.code not in ("", "UnknownError", *_BY_CODE)

    @property
    def unknown_action(self) -> bool:
        """The service may not know what was to be done, if the thing is there to which it was to be done."""
        return self.not_found or (self.status in (400, 405, 501) and self.code not in _BY_CODE)

    @property
    def sync_lost(self) -> bool:
        """The link is of no use any more: 410, or an older status with a code such as SyncStateNotFound."""
        return self.status == 410 or (self.status in (400, 404) and "sync" in self.code.lower())


@dataclass(frozen=True, kw_only=True)
class _Advice:
    reason: Reason
    text: str
    pace: Pace = Pace.CONFIGURATION


_NO_MAILBOX = _Advice(
    reason="InvalidConfiguration",
    text="has no mailbox '{mailbox}' for us; correct spec.auth.username or spec.sharedMailbox, and see that it has an "
    "Exchange Online licence",
)
_BY_CODE: Mapping[str, _Advice] = {
    "MailboxNotEnabledForRESTAPI": replace(_NO_MAILBOX, pace=Pace.QUICK),  # may come and go
    "MailboxNotSupportedForRESTAPI": _NO_MAILBOX,
    "ResourceNotFound": _NO_MAILBOX,
    "Request_ResourceNotFound": _NO_MAILBOX,
    "ErrorInvalidUser": _NO_MAILBOX,
    "ErrorNonExistentMailbox": _NO_MAILBOX,
}
_BY_STATUS: Mapping[int, _Advice] = {
    401: _Advice(
        reason="AuthFailed",
        text="refuses a token that was just given; see that spec.auth.oauth2.cloud is the cloud of the account and "
        "that the app has permissions of Microsoft Graph",
        pace=Pace.SLOW,
    ),
}
_OTHER = _Advice(reason="ConnectionFailed", text="does not do what was asked; it is tried again", pace=Pace.QUICK)


def refused(settings: GraphSettings, *, status: int, headers: Mapping[str, str], body: bytes) -> SourceError:
    """The failure behind an answer that is an error."""
    code, text = read_error(body)
    said = f"HTTP {status}" + (f" {code}" if code else "") + (f": {text}" if text else "")
    if status in THROTTLED:
        wait = retry_after(headers.get("Retry-After"), now=datetime.now(UTC))
        return SourceError("Throttled", f"{settings.host} asks for patience ({said})", retry_after=wait)
    advice = _BY_CODE.get(code) or (_denied(settings) if status == 403 else _BY_STATUS.get(status, _OTHER))
    message = f"{settings.host} {advice.text.format(mailbox=settings.mailbox)} ({said})"
    return Refused(status, code, advice.reason, message, pace=advice.pace)


def no_inbox(settings: GraphSettings, error: Refused) -> SourceError:
    """There is one in every mailbox, but Exchange does not find that of a mailbox that may not be opened."""
    advice = _denied(settings)
    text = advice.text.format(mailbox=settings.mailbox)
    said = f"HTTP {error.status} {error.code}: no inbox, as also where nobody ever opened the mailbox"
    return SourceError(advice.reason, f"{settings.host} {text} ({said})", pace=advice.pace)


def _denied(settings: GraphSettings) -> _Advice:
    """With the flow Application nobody can authorize, and a permission in Entra ID would open every mailbox."""
    if not settings.authorize:
        return _Advice(
            reason="AuthFailed",
            text="denies the app access to the mailbox '{mailbox}'; give it the Exchange role Application "
            "Mail.ReadWrite for this mailbox (New-ManagementRoleAssignment; docs/providers/microsoft-365.md), and "
            "see that no application access policy leaves the mailbox out; a change may take an hour or two",
            pace=Pace.SLOW,
        )
    if settings.shared:
        todo = (
            "give the account that authorizes full access to it (Add-MailboxPermission -Identity {mailbox} -User "
            "ACCOUNT -AccessRights FullAccess) and the app the delegated permission Mail.ReadWrite.Shared"
        )
    else:
        todo = "see that this account is the one that authorizes, and that the app has the permission Mail.ReadWrite"
    return _Advice(
        reason="AuthorizationRequired",
        text=f"denies the account that authorized access to the mailbox '{{mailbox}}'; {todo}, then authorize again: "
        f"{settings.authorize}",
        pace=Pace.SLOW,
    )


def read_error(body: bytes) -> tuple[str, str]:
    """`error.code` and `error.message` of an answer; empty if it holds none, as a proxy's page."""
    try:
        error = json.loads(body)["error"]
        code, text = error.get("code"), error.get("message")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return "", ""
    code, text = without_credentials(str(code or "")), without_credentials(str(text or ""))
    return code[:80], " ".join(text.split())[:_LONGEST]


def challenge(header: str) -> str:
    """The claims that a new token must meet (JSON), from the header WWW-Authenticate; empty: none are asked for."""
    if not (match := _CLAIMS.search(header)):
        return ""
    encoded = match[1].replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def broken(settings: GraphSettings, error: Exception) -> SourceError:
    """The connection failed, or an answer did not come to its end."""
    why = "it was silent for too long" if "timed out" in str(error).lower() else type(error).__name__
    return SourceError("ConnectionFailed", f"the connection to {settings.host} broke ({why}); it is tried again")


def odd(settings: GraphSettings, what: str) -> SourceError:
    """An answer that Graph does not give: something else answers, or it has changed."""
    return SourceError("ConnectionFailed", f"{settings.host} {what}; if that stays so, a proxy may be in between")


def no_lasting_ids(settings: GraphSettings) -> SourceError:
    """Without them a mail that is moved, or renamed by the server, would come twice."""
    return SourceError(
        "InvalidConfiguration",
        f"{settings.host} gives no lasting ids for the mailbox '{settings.mailbox}' (it ignores ImmutableId), "
        "so a mail could not be recognised for certain; use spec.protocol IMAP for this mailbox",
        pace=Pace.CONFIGURATION,
    )


def no_folder(settings: GraphSettings, field: str, name: str) -> SourceError:
    """The folder is not there."""
    return SourceError(
        "FolderNotFound",
        f"the mailbox '{settings.mailbox}' has no folder '{name}'; correct {field} (names as Outlook shows them, a "
        "folder inside another one as Outer/Inner), or make the folder",
        pace=Pace.CONFIGURATION,
    )


def not_permanently(error: Refused) -> Refused:
    """Perhaps the service does not know permanentDelete. Nothing else is done instead, as nobody asked for that."""
    message = (
        f"{error.message}; the mail was not deleted permanently; if that is said of every mail, this service cannot do "
        "it: leave out spec.afterDownload.permanent, and Delete moves mails to Deleted Items"
    )
    return Refused(error.status, error.code, error.reason, message, pace=error.pace)


def same_folder(settings: GraphSettings) -> SourceError:
    """What is moved there would be new there for ever."""
    if settings.action == "Delete":
        text = f"spec.folder '{settings.folder}' is the folder of deleted mails, into which Delete moves them"
        remedy = (
            "choose the action MarkSeen, Move or None, or in the cloud Global set spec.afterDownload.permanent true"
        )
    else:
        text = f"spec.afterDownload.folder '{settings.target}' is the folder '{settings.folder}' itself"
        remedy = "choose another folder"
    return SourceError("InvalidConfiguration", f"{text}; {remedy}", pace=Pace.CONFIGURATION)
