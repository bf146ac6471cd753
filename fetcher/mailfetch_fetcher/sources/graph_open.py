"""From a host name to an open folder of a Graph mailbox, in named stages."""

from mailfetch_fetcher.auth.bearer import Bearer
from mailfetch_fetcher.sources import graph_errors as errors
from mailfetch_fetcher.sources.graph_actions import TRASH
from mailfetch_fetcher.sources.graph_errors import Refused
from mailfetch_fetcher.sources.graph_folders import Folder, find_folder, open_folder
from mailfetch_fetcher.sources.graph_http import GraphHttp
from mailfetch_fetcher.sources.graph_settings import GraphSettings
from mailfetch_fetcher.sources.transport import Observe, reach_server
from mailfetch_fetcher.tls import client_context


def open_mailbox(
    http: GraphHttp, settings: GraphSettings, *, bearer: Bearer, observe: Observe
) -> tuple[Folder, Folder | None]:
    """The folder, and the one that Move moves to.

    Args:
        http: The way to Graph.
        settings: Of the mailbox.
        bearer: Gives tokens.
        observe: Is told each stage that has succeeded.

    Raises:
        SourceError: a stage failed; the message says what to change.
    """
    # A connection of its own tells name, network and TLS apart, which one made for a request does not.
    context = client_context(settings.ca)
    reach_server(settings, context=context, observe=observe, reach=lambda _shut: None).close()
    observe("capability", "Microsoft Graph v1.0")
    bearer.token()
    _enter(http, settings)
    observe("login", f"the mailbox {settings.mailbox} is open to the token")
    folder = find_folder(http, settings, settings.folder, field="spec.folder")
    observe("folder", f"{folder.name}: {folder.total} items")
    target = _target(http, settings, folder)
    if settings.action == "None":
        observe("permission", "no after-download action")
    else:
        observe("permission", f"{settings.action}: Graph tells at the first mail whether it is permitted")
    return folder, target


def _enter(http: GraphHttp, settings: GraphSettings) -> None:
    """Opens the inbox, which is there in every mailbox: so a refusal is one of the token or the mailbox."""
    try:
        open_folder(http, settings, "inbox")
    except Refused as e:
        if e.not_found:
            raise errors.no_inbox(settings, e) from e
        raise


def _target(http: GraphHttp, settings: GraphSettings, folder: Folder) -> Folder | None:
    """Where Move moves to; nothing may be moved into the folder that it comes from."""
    if settings.action == "Move":
        target = find_folder(http, settings, settings.target, field="spec.afterDownload.folder")
        if target.id == folder.id:
            raise errors.same_folder(settings)
        return target
    if settings.action == "Delete" and not settings.permanent and open_folder(http, settings, TRASH).id == folder.id:
        raise errors.same_folder(settings)
    return None
