"""What Microsoft Graph says: the properties of mails and folders, and the bodies of its errors.

Names are those of the published schema (v1.0): an answer of the double holds no other.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

MESSAGE = frozenset(
    (
        *(
            "id",
            "categories",
            "changeKey",
            "createdDateTime",
            "lastModifiedDateTime",
            "bccRecipients",
            "body",
            "bodyPreview",
            "ccRecipients",
        ),
        *(
            "conversationId",
            "conversationIndex",
            "flag",
            "from",
            "hasAttachments",
            "importance",
            "inferenceClassification",
        ),
        *(
            "internetMessageHeaders",
            "internetMessageId",
            "isDeliveryReceiptRequested",
            "isDraft",
            "isRead",
            "isReadReceiptRequested",
        ),
        *(
            "parentFolderId",
            "receivedDateTime",
            "replyTo",
            "sender",
            "sentDateTime",
            "subject",
            "toRecipients",
            "uniqueBody",
            "webLink",
        ),
    )
)
ON_REQUEST = frozenset({"internetMessageHeaders", "uniqueBody"})
"""Properties that an answer holds only if `$select` names them."""
FOLDER = frozenset(
    (
        *("id", "displayName", "parentFolderId", "childFolderCount"),
        *("unreadItemCount", "totalItemCount", "isHidden"),
    )
)
USER = frozenset({"id", "displayName", "mail", "userPrincipalName"})
WELL_KNOWN: Mapping[str, str] = {
    "msgfolderroot": "Oberste Ebene des Informationsspeichers",
    "inbox": "Posteingang",
    "drafts": "Entwürfe",
    "sentitems": "Gesendete Elemente",
    "deleteditems": "Gelöschte Elemente",
    "junkemail": "Junk-E-Mail",
    "archive": "Archiv",
    "outbox": "Postausgang",
    "conversationhistory": "Aufgezeichnete Unterhaltungen",
    "recoverableitemsdeletions": "Deletions",
}
"""Names that open a folder in every language, with the display names of a German mailbox."""
HIDDEN = frozenset({"recoverableitemsdeletions"})

CHALLENGE = 'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize"'
GRAPH_ID = "00000003-0000-0000-c000-000000000000"
"""The application id of Microsoft Graph: as good an audience as its address."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is sent. `chunked` bodies have no Content-Length."""

    status: int = 200
    body: bytes = b""
    kind: str = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    chunked: bool = False


class Refused(Exception):
    """The request gets an error; a correct client may see this."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(self) -> Answer:
        return error(self.status, self.code, self.message, headers=self.headers)


class Wrong(Refused):
    """The request gets an error, and no correct client sends it."""


def error(status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None) -> Answer:
    """An error as Graph writes it."""
    inner = {"date": "2026-11-02T10:00:00", "request-id": "b3f1", "client-request-id": "b3f1"}
    body = {"error": {"code": code, "message": message, "innerError": inner}}
    return Answer(status=status, body=json.dumps(body).encode(), kind="application/json", headers=headers or {})


def found(value: object, *, status: int = 200) -> Answer:
    return Answer(status=status, body=json.dumps(value, ensure_ascii=False).encode(), chunked=True)


def item_not_found() -> Refused:
    return Refused(404, "ErrorItemNotFound", "The specified object was not found in the store.")


def insufficient_claims(wanted: Mapping[str, object]) -> Refused:
    """The challenge of continuous access evaluation."""
    encoded = base64.b64encode(json.dumps(wanted).encode()).decode()
    challenge = f'{CHALLENGE}, error="insufficient_claims", claims="{encoded}"'
    text = "Continuous access evaluation resulted in challenge with result: InteractionRequired."
    return Refused(401, "InvalidAuthenticationToken", text, WWW_Authenticate=challenge)


def bad_request(message: str) -> Wrong:
    return Wrong(400, "BadRequest", message)


def denied(message: str = "Access is denied. Check credentials and try again.") -> Refused:
    return Refused(403, "ErrorAccessDenied", message)
