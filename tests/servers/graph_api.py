"""The endpoints of the Graph double: from a request to an answer. The caller holds the lock."""

import json
import re
from random import Random
from typing import TypeVar
from urllib.parse import quote

from tests.servers.graph_call import Call
from tests.servers.graph_delta import Entry, page
from tests.servers.graph_json import folder_json, message_json
from tests.servers.graph_mailbox import Mailbox
from tests.servers.graph_schema import USER, Answer, Wrong, bad_request, found
from tests.servers.graph_things import Folder, Mail, rest_id

T = TypeVar("T")
_READ = re.compile(r"isRead eq (true|false)")
_SINCE = re.compile(r"receivedDateTime (ge|gt|le|lt) (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)")
_NAMED = re.compile(r"displayName eq '((?:[^']|'')*)'")


def respond(call: Call, mailbox: Mailbox, *, chaos: Random | None, counts: bool) -> Answer:
    """Carries out a request.

    Args:
        call: The request.
        mailbox: Its mailbox.
        chaos: For delta rounds.
        counts: `$count=true` is answered; else with -1.

    Raises:
        Refused: The answer is an error.
    """
    match call.endpoint:
        case "me":
            return _user(call, mailbox)
        case "folder":
            return found({**_context(call), **folder_json(mailbox, mailbox.opened(call.id), call.select)})
        case "folders":
            return _folders(call, mailbox, mailbox.folder("msgfolderroot"))
        case "children":
            return _folders(call, mailbox, mailbox.opened(call.id))
        case "list":
            return _list(call, mailbox, counts=counts)
        case "delta" | "delta_next" | "delta_link":
            told = page(call, mailbox, chaos=chaos)
            value = [_entry(call, one, told.select, mailbox) for one in told.entries]
            return found({**_context(call), **told.link, "value": value})
    mail = mailbox.mail(call.id)
    match call.endpoint:
        case "message":
            return found({**_context(call), **message_json(mail, call)})
        case "value":
            return Answer(body=mail.raw, kind="text/plain", chunked=True)
        case "patch":
            mailbox.mark(mail.id, read=_flag(call))
            return found({**_context(call), **message_json(mail, call)})
        case "move":
            return _move(call, mailbox, mail)
        case "delete":
            # Where it lands is not documented; this is the place from which a user finds it least.
            mailbox.move(mail.id, "recoverableitemsdeletions")
        case "permanent_delete":
            if call.host != "graph.microsoft.com":
                raise bad_request("Resource not found for the segment 'permanentDelete'.")
            mailbox.delete(mail.id)
    return Answer(status=204)


def _user(call: Call, mailbox: Mailbox) -> Answer:
    user = {"displayName": "A user", "mail": mailbox.address, "userPrincipalName": mailbox.address, "id": "48d31887"}
    if wrong := set(call.select) - USER:
        raise Wrong(400, "RequestBroker--ParseUri", f"Could not find a property named '{wrong.pop()}'.")
    return found({name: value for name, value in user.items() if not call.select or name in (*call.select, "id")})


def _folders(call: Call, mailbox: Mailbox, above: Folder) -> Answer:
    hidden = call.query.get("includehiddenfolders", "false").lower() == "true"
    folders = [one for one in mailbox.folders.values() if one.parent == above.id and (hidden or not one.hidden)]
    if wanted := call.query.get("$filter"):
        named = _NAMED.fullmatch(wanted)
        if not named:
            raise bad_request(f"Invalid filter clause: {wanted}")
        name = named[1].replace("''", "'")
        folders = [folder for folder in folders if folder.name.lower() == name.lower()]
    shown, link = _paged(call, folders)
    value = [folder_json(mailbox, folder, call.select) for folder in shown]
    return found({**_context(call), "value": value, **link})


def _list(call: Call, mailbox: Mailbox, *, counts: bool) -> Answer:
    mails = list(_filtered(call, mailbox.in_folder(mailbox.opened(call.id))))
    match call.query.get("$orderby"):
        case "receivedDateTime asc" | "receivedDateTime":
            mails.reverse()
        case None | "receivedDateTime desc":
            pass
        case order:
            raise bad_request(f"The double knows no order {order}")
    if "$orderby" in call.query and not call.query.get("$filter", "receivedDateTime").startswith("receivedDateTime"):
        raise Wrong(400, "InefficientFilter", "The restriction or sort order is too complex for this operation.")
    shown, link = _paged(call, mails)
    count = {"@odata.count": len(mails) if counts else -1} if call.query.get("$count") == "true" else {}
    return found({**_context(call), **count, "value": [message_json(mail, call) for mail in shown], **link})


def _filtered(call: Call, mails: list[Mail]) -> list[Mail]:
    for clause in filter(None, call.query.get("$filter", "").split(" and ")):
        if read := _READ.fullmatch(clause):
            mails = [mail for mail in mails if mail.read == (read[1] == "true")]
        elif since := _SINCE.fullmatch(clause):
            mails = [mail for mail in mails if mail.received and _holds(mail.received, since[1], since[2])]
        else:
            raise bad_request(f"Invalid filter clause: {clause}")
    return mails


def _holds(value: str, operator: str, bound: str) -> bool:
    return {"ge": value >= bound, "gt": value > bound, "le": value <= bound, "lt": value < bound}[operator]


def _paged(call: Call, things: list[T]) -> tuple[list[T], dict[str, str]]:
    top = call.number("$top", 10, 1000)
    skip = call.number("$skip", 0, 1_000_000_000)
    if top == 0:
        raise bad_request("The value '0' of '$top' is not allowed.")
    if skip + top >= len(things):
        return things[skip:], {}
    options = {**call.query, "$top": str(top), "$skip": str(skip + top)}
    query = "&".join(f"{quote(name, safe='$')}={quote(value)}" for name, value in options.items())
    path = "/".join(quote(part, safe="") for part in call.parts)
    return things[skip : skip + top], {"@odata.nextLink": f"{call.base}/{path}?{query}"}


def _entry(call: Call, entry: Entry, select: tuple[str, ...], mailbox: Mailbox) -> dict[str, object]:
    mail = entry.mail
    here = mail.id in mailbox.mails and mail.folder.id == mailbox.opened(call.id).id
    if entry.removed or not (here or entry.stale):
        id_ = mail.id if call.immutable else rest_id(mail.id, entry.moves)
        return {"@odata.type": "#microsoft.graph.message", "id": id_, "@removed": {"reason": "deleted"}}
    if entry.partial:  # what has changed, as far as it is wanted
        select = tuple({"id", "isRead"} & {"id", *(select or ("isRead",))})
    return message_json(mail, call, select=select)


def _move(call: Call, mailbox: Mailbox, mail: Mail) -> Answer:
    body = _object(call)
    if set(body) != {"destinationId"} or not isinstance(body["destinationId"], str):
        raise bad_request("The request wants destinationId and nothing else.")
    target = mailbox.opened(body["destinationId"])
    if target is mail.folder and not mail.moves:
        # Not so if it was moved before: then the client may not have got the answer, and asks again.
        raise Wrong(400, "ErrorInvalidRequest", "The mail is in this folder already.")
    mailbox.move(mail.id, target.id)
    return found({**_context(call), **message_json(mail, call)}, status=201)


def _flag(call: Call) -> bool:
    body = _object(call)
    if set(body) != {"isRead"} or not isinstance(body["isRead"], bool):
        raise bad_request("The double lets a client change isRead and nothing else.")
    return body["isRead"]


def _object(call: Call) -> dict[str, object]:
    if call.headers.get_content_type() != "application/json":
        raise Wrong(415, "RequestBodyRead", "The media type is not supported.")
    try:
        body = json.loads(call.body)
    except ValueError:
        raise bad_request("Unable to read JSON request payload.") from None
    if not isinstance(body, dict):
        raise bad_request("Unable to read JSON request payload.")
    return body


def _context(call: Call) -> dict[str, str]:
    return {"@odata.context": f"https://{call.host}/v1.0/$metadata#users('u')/{'/'.join(call.parts[:1])}"}
