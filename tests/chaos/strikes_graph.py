"""What Microsoft Graph does of its own accord while a run stands still."""

from tests.chaos.inboxes import GraphInbox
from tests.chaos.strikes import Scene
from tests.servers import graph_faults
from tests.servers.graph_mailbox import Mailbox


def link_expires(scene: Scene) -> None:
    """Links that were given so far are refused (410): everything must be gone through from the beginning."""
    _mailbox(scene).expire_sync()
    scene.trap.decide("release")


def throttled(scene: Scene) -> None:
    """The next three requests are refused (429): come again in a second."""
    _mailbox(scene).fail("*", graph_faults.throttled("1"), times=3)
    scene.trap.decide("release")


def token_refused(scene: Scene) -> None:
    """The next request is refused (401): another token is wanted."""
    _mailbox(scene).fail("*", graph_faults.token_refused())
    scene.trap.decide("release")


def _mailbox(scene: Scene) -> Mailbox:
    assert isinstance(scene.world.inbox, GraphInbox)
    return scene.world.inbox.mailbox
