"""What the network does, and what other people do in the mailbox, while a run stands still."""

import time

from tests.chaos.strikes import Scene
from tests.servers import mailgen

BLACK = 5.0
"""Seconds of a black hole; longer than the mail server may be silent."""


def slow(scene: Scene) -> None:
    """From now on everything is late."""
    for tap in (scene.mail, *scene.redis):
        tap.delay = 0.02
    scene.trap.decide("release")


def throttled(scene: Scene) -> None:
    """From now on the lines are thin."""
    scene.mail.rate = 1_000_000
    for tap in scene.redis:
        tap.rate = 2_000_000
    scene.trap.decide("release")


def truncated(scene: Scene) -> None:
    """The next long answers end in the middle: one of the mail server and one of each Redis."""
    scene.mail.truncate = scene.rng.randrange(20, 3_000)
    for tap in scene.redis:
        tap.truncate = scene.rng.randrange(1, 30)
    scene.trap.decide("release")


def mail_server_in_a_black_hole(scene: Scene) -> None:
    """Nothing comes from the mail server any more, on no connection, for a while; nothing is closed."""
    scene.mail.black_hole(True)
    scene.trap.decide("release")
    time.sleep(BLACK)
    scene.mail.black_hole(False)


def everything_refused(scene: Scene) -> None:
    """Both servers are gone for a moment: connections end, new ones are refused."""
    taps = (scene.mail, *scene.redis)
    for tap in taps:
        tap.refuse = True
        tap.cut()
    scene.trap.decide("cut")
    time.sleep(2.0)
    for tap in taps:
        tap.refuse = False


def removed_by_others(scene: Scene) -> None:
    """A mail that was listed and not downloaded is gone: it is lost to nobody."""
    world = scene.world
    gone = max(world.originals)
    world.inbox.remove(gone)
    del world.originals[gone]
    scene.trap.decide("release")


def more_mail(scene: Scene) -> None:
    """Mails arrive just now."""
    world = scene.world
    world.inbox.fill(mailgen.mails(3, seed=scene.rng.randrange(10**6)))
    world.look()
    scene.trap.decide("release")


def numbered_again(scene: Scene) -> None:
    """UIDVALIDITY changes once more; the server ends the connections that have the folder open."""
    world = scene.world
    kept = {world.originals[uid].sha256 for uid in world.kept}
    world.inbox.number_anew(2_000_000 + scene.rng.randrange(10**6))
    world.originals = {}
    world.look()
    world.kept = {uid for uid, mail in world.originals.items() if mail.sha256 in kept}
    scene.trap.decide("release")
