"""Mails and folders as the Graph double writes them."""

from email.utils import getaddresses

from tests.servers.graph_call import Call
from tests.servers.graph_mailbox import Mailbox
from tests.servers.graph_schema import FOLDER, MESSAGE, ON_REQUEST, Wrong
from tests.servers.graph_things import Folder, Mail


def folder_json(mailbox: Mailbox, folder: Folder, select: tuple[str, ...]) -> dict[str, object]:
    mails = [mail for mail in mailbox.mails.values() if mail.folder is folder]
    whole = {
        "id": folder.id,
        "displayName": folder.name,
        "parentFolderId": folder.parent,
        "childFolderCount": sum(one.parent == folder.id for one in mailbox.folders.values()),
        "unreadItemCount": sum(not mail.read for mail in mails),
        "totalItemCount": len(mails),
        "isHidden": folder.hidden,
    }
    for name in select:
        if name not in FOLDER:
            text = f"Could not find a property named '{name}' on type 'microsoft.graph.mailFolder'."
            raise Wrong(400, "RequestBroker--ParseUri", text)
    return {name: value for name, value in whole.items() if not select or name in (*select, "id")}


def message_json(mail: Mail, call: Call, *, select: tuple[str, ...] | None = None) -> dict[str, object]:
    """A mail with the wanted properties (by default those that the request selects) and its id."""
    wanted = call.select if select is None else select
    names = {*wanted, "id"} if wanted else MESSAGE - ON_REQUEST
    cheap = {
        "id": mail.id if call.immutable else mail.rest_id,
        "isRead": mail.read,
        "receivedDateTime": mail.received,
        "createdDateTime": mail.created,
        "lastModifiedDateTime": mail.created,
        "parentFolderId": mail.folder.called or mail.folder.id,
        "changeKey": f"CQAAABYAAAA{mail.version}",
    }
    whole = cheap if names <= cheap.keys() else {**cheap, **_rest(mail)}
    kind = {"@odata.type": mail.type} if mail.type else {}
    tag = {"@odata.etag": f'W/"CQAAABYAAAA{mail.version}"'}
    return {**kind, **tag, **{name: value for name, value in whole.items() if name in names}}


def _rest(mail: Mail) -> dict[str, object]:
    header = mail.header
    return {
        "categories": [],
        "bccRecipients": [],
        "body": {"contentType": "text", "content": ""},
        "bodyPreview": "",
        "ccRecipients": _people(mail, "Cc"),
        "conversationId": f"AAQk{mail.id[-20:]}",
        "conversationIndex": "AQHb",
        "flag": {"flagStatus": "notFlagged"},
        "from": next(iter(_people(mail, "From")), None),
        "hasAttachments": header.get_content_type() == "multipart/mixed",
        "importance": "normal",
        "inferenceClassification": "focused",
        "internetMessageHeaders": [{"name": name, "value": str(value)} for name, value in header.items()],
        "internetMessageId": header.get("Message-ID"),
        "isDeliveryReceiptRequested": None,
        "isDraft": False,
        "isReadReceiptRequested": False,
        "replyTo": _people(mail, "Reply-To"),
        "sender": next(iter(_people(mail, "From")), None),
        "sentDateTime": mail.created,
        "subject": str(header.get("Subject", "")),
        "toRecipients": _people(mail, "To"),
        "uniqueBody": {"contentType": "text", "content": ""},
        "webLink": f"https://outlook.office365.com/owa/?ItemID={mail.id}",
    }


def _people(mail: Mail, name: str) -> list[dict[str, dict[str, str]]]:
    given = [str(value) for value in mail.header.get_all(name, [])]
    return [{"emailAddress": {"name": shown, "address": address}} for shown, address in getaddresses(given)]
