"""Folders of a Graph mailbox, found by the names that people know."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from mailfetch_fetcher.sources import graph_errors as errors
from mailfetch_fetcher.sources.graph_chain import Chain
from mailfetch_fetcher.sources.graph_cursor import local
from mailfetch_fetcher.sources.graph_errors import Refused
from mailfetch_fetcher.sources.graph_http import GraphHttp
from mailfetch_fetcher.sources.graph_settings import GraphSettings

WELL_KNOWN = frozenset(
    (
        *("archive", "clutter", "conflicts", "conversationhistory", "deleteditems", "drafts", "inbox", "junkemail"),
        *("localfailures", "msgfolderroot", "outbox", "recoverableitemsdeletions", "scheduled", "searchfolders"),
        *("sentitems", "serverfailures", "syncissues"),
    )
)
"""Names that open a folder in every language (learn.microsoft.com "mailFolder resource type")."""
_SELECT = "$select=id,displayName,totalItemCount"


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder.

    Attributes:
        id: Its id.
        name: Its name in the user's language.
        total: Things in it, which may also be others than mails.
    """

    id: str
    name: str
    total: int


def open_folder(http: GraphHttp, settings: GraphSettings, name: str) -> Folder:
    """The folder with this id or well-known name.

    Raises:
        SourceError: there is none (`Refused` with status 404), or it cannot be asked for.
    """
    return _folder(http.get(f"{settings.base}/mailFolders/{quote(name, safe='')}?{_SELECT}"), settings)


def find_folder(http: GraphHttp, settings: GraphSettings, path: str, *, field: str) -> Folder:
    """The folder that people call so: INBOX, names from the top with slashes between them, or a well-known name.

    Args:
        http: The way to Graph.
        settings: Of the mailbox.
        path: The name.
        field: Field of the spec that holds it, for messages.

    Raises:
        SourceError: FolderNotFound.
    """
    names = path.strip("/").split("/")
    if names[0].lower() == "inbox":
        inbox = open_folder(http, settings, "inbox")
        found = _below(http, settings, inbox, names[1:])
    else:
        found = _below(http, settings, None, names)
    if found is None and path.lower() in WELL_KNOWN:
        found = open_folder(http, settings, path.lower())
    if found is None:
        raise errors.no_folder(settings, field, path)
    return found


def look_again(http: GraphHttp, settings: GraphSettings, folder: Folder) -> Folder:
    """The folder as it is now.

    Raises:
        SourceError: FolderNotFound: it was deleted meanwhile.
    """
    try:
        return open_folder(http, settings, folder.id)
    except Refused as e:
        if e.not_found:
            raise errors.no_folder(settings, "spec.folder", settings.folder) from e
        raise


def _below(http: GraphHttp, settings: GraphSettings, parent: Folder | None, names: list[str]) -> Folder | None:
    """Goes down; a folder's own name may hold a slash, so longer names are tried too."""
    if not names:
        return parent
    for taken in range(1, len(names) + 1):
        for child in _children(http, settings, parent, "/".join(names[:taken])):
            if found := _below(http, settings, child, names[taken:]):
                return found
    return None


def _children(http: GraphHttp, settings: GraphSettings, parent: Folder | None, name: str) -> list[Folder]:
    """Folders of this name, that of exactly this case first."""
    where = f"{settings.base}/mailFolders" + (f"/{quote(parent.id, safe='')}/childFolders" if parent else "")
    wanted = quote("displayName eq '{}'".format(name.replace("'", "''")), safe="")
    query = f"{_SELECT}&$top=100&$filter={wanted}&includeHiddenFolders=true"
    alike = [folder for folder in _listed(http, settings, f"{where}?{query}") if folder.name.lower() == name.lower()]
    return sorted(alike, key=lambda folder: folder.name != name)


def _listed(http: GraphHttp, settings: GraphSettings, path: str) -> Iterator[Folder]:
    for value in each_value(http, settings, path):
        yield _folder(value, settings)


def each_value(http: GraphHttp, settings: GraphSettings, path: str) -> Iterator[dict[str, Any]]:
    """What a list holds, page after page."""
    chain = Chain(path, settings)
    while path:
        page = http.get(path)
        yield from values(page, settings)
        path = following(page, chain, settings)


def following(page: dict[str, Any], chain: Chain, settings: GraphSettings) -> str:
    """Path of the next page of a list; empty: there is none."""
    link = page.get("@odata.nextLink")
    return chain.follow(local(link, settings)) if link else ""


def values(page: dict[str, Any], settings: GraphSettings) -> list[dict[str, Any]]:
    """The things of a page, each with an id.

    Raises:
        SourceError: it is none.
    """
    found = page.get("value")
    if not isinstance(found, list) or not all(isinstance(v, dict) and _is_id(v.get("id")) for v in found):
        raise errors.odd(settings, "sends a list that is none")
    return found


def _is_id(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value != ""


def _folder(value: dict[str, Any], settings: GraphSettings) -> Folder:
    if not _is_id(value.get("id")):
        raise errors.odd(settings, "tells no id of a folder")
    total = value.get("totalItemCount")
    return Folder(id=value["id"], name=str(value.get("displayName", "")), total=total if isinstance(total, int) else 0)
