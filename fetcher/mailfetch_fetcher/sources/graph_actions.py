"""After-download actions at Graph: one request for each mail, which changes nothing when it is repeated.

Delete moves to Deleted Items, as Outlook does: where DELETE would put a mail is not documented. Only with `PERMANENTLY`
it is permanentDelete, which has no body and is answered with 204 (learn.microsoft.com "message: permanentDelete"). An
immutable id stays good when somebody else moves the mail, so each mail is taken away only if it is still in the folder.
"""

from collections.abc import Callable, Sequence

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources import graph_errors as errors
from mailfetch_fetcher.sources.base import PERMANENTLY, Outcome, PendingAction
from mailfetch_fetcher.sources.graph_errors import Refused
from mailfetch_fetcher.sources.graph_folders import Folder
from mailfetch_fetcher.sources.graph_http import GraphHttp
from mailfetch_fetcher.sources.graph_pages import Pages, id_of, message_path
from mailfetch_fetcher.sources.graph_settings import GraphSettings

TRASH = "deleteditems"


class Actions:
    """Carries out actions.

    Attributes:
        moved: Ids of mails that were moved or deleted, so that nobody else need have done it.
        failure: What stopped the last run; None: nothing.
    """

    def __init__(self, http: GraphHttp, settings: GraphSettings, *, pages: Pages, target: Folder | None) -> None:
        """Does nothing yet.

        Args:
            http: The way to Graph.
            settings: Of the mailbox.
            pages: The folder, for looks at single mails.
            target: Where Move moves them.
        """
        self._http = http
        self._settings = settings
        self._pages = pages
        self._target = target.id if target else TRASH
        self.moved: set[str] = set()
        self.failure: SourceError | None = None

    def run(self, actions: Sequence[PendingAction], *, confirm: Callable[[], None]) -> list[Outcome]:
        """One outcome for each; after a failure of the connection, or when Graph asks for patience, the rest waits."""
        outcomes: list[Outcome] = []
        self.failure = None
        for action in actions:
            if self.failure is None:
                try:
                    outcomes.append(self._one(action, confirm))
                    continue
                except Refused as e:
                    outcomes.append(Outcome(action=action, result="failed", detail=e.message))
                    continue
                except SourceError as e:
                    self.failure = e
            outcomes.append(Outcome(action=action, result="failed", detail=self.failure.message))
        return outcomes

    def _one(self, action: PendingAction, confirm: Callable[[], None]) -> Outcome:
        path = message_path(self._settings, id_of(action.key))
        if action.kind != "MarkSeen" and not self._is_here(action):
            return Outcome(action=action, result="done", was_gone=True)
        confirm()
        permanently = action.kind == "Delete" and action.folder == PERMANENTLY
        try:
            if action.kind == "MarkSeen":
                self._http.change("PATCH", path, {"isRead": True})
            elif permanently:
                self._http.change("POST", f"{path}/permanentDelete")
                self.moved.add(id_of(action.key))
            else:
                self._http.change("POST", f"{path}/move", {"destinationId": self._target})
                self.moved.add(id_of(action.key))
        except Refused as e:
            if not e.not_found or self._is_here(action):  # else it may be the target that is not there
                if permanently and e.unknown_action:
                    raise errors.not_permanently(e) from e
                raise
            return Outcome(action=action, result="done", was_gone=True)
        return Outcome(action=action, result="done")

    def _is_here(self, action: PendingAction) -> bool:
        return self._pages.holds(self._pages.look(id_of(action.key)))
