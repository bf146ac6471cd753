"""The end of a run of the state machine, all healed and caught up: each mail is there once, nothing is left over."""

from collections import Counter

from tests.integration.store.machine_view import STREAM
from tests.integration.store.machine_world import World


def judge(world: World, connection: str) -> None:
    """The end of a run, for one mailbox."""
    view, provider = world.model[connection], world.providers[connection]
    stored = {serial for serial, mark in view.stored if not mark}
    for _, item in provider.present():
        assert item.serial in stored, f"{item} of {connection} is lost"
    for item in provider.items.values():
        assert item.removed != "us" or item.serial in stored, f"mail {item.serial} was removed, but is not stored"
        assert item.moved <= 1, f"mail {item.serial} was copied {item.moved} times"
    assert not view.outbox
    world.counts["stored"] += len(stored)
    world.counts["refetched"] += len(view.stored) - len(stored)
    entries = {e.entry for e in world.observer.history.values() if e.connection == connection}
    lines = world.observer.log("Succeeded")
    logged = [line["entry"] for line in lines if line["step"] == "stored" and line["connection"] == connection]
    assert sorted(logged) == sorted(entries)
    assert int(world.client.hget(world.keys[connection].stats, "messages") or 0) == len(entries)
    settled = Counter(
        line["entry"]
        for r in ("Succeeded", "Dropped", "Unproven")
        for line in world.observer.log(r)
        if line["category"] == "AfterDownload"
    )
    assert max(settled.values(), default=1) == 1, "an action was carried out twice"


def judge_blobs(world: World) -> None:
    """The bodies of large mails: those of entries, and none else but what goes by itself."""
    for key in world.client.keys(STREAM.blob("*")):
        wanted = any(e.blob == key.decode() for e in map(world.observer.history.get, world.observer.there) if e)
        assert wanted or world.client.pttl(key) > 0, f"{key!r} stays for ever"
