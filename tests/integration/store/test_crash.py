"""Redis killed and connections cut at random moments: nothing is lost, nothing comes twice."""

import random
import threading
import time

from mailfetch_fetcher.errors import StoreError
from mailfetch_fetcher.sources.base import Outcome
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import Mail
from tests.integration.store.helpers import IDENTITY, KEYS, Store, batch, mail, store_on
from tests.servers.proxy import FaultProxy
from tests.servers.redis import Kind, RedisServer

SECONDS = 10.0
"""How long each of the two servers is tormented."""
TWIN = b"one mail in ten looks like the others of its kind"


class Driver:
    """Commits UID after UID, as a session would: after any failure it opens anew and goes on from the cursor."""

    def __init__(self, store: Store, url: str, chance: random.Random) -> None:
        self.store = store
        self.url = url
        self.chance = chance
        self.acknowledged = 0
        self.failures = 0
        self.acted: list[int] = []
        self._state_id = ""
        self._seq = 0

    def run(self, until: float) -> None:
        while time.monotonic() < until:
            mailbox = self.store.mailbox(url=self.url, wait=lambda _: time.sleep(0.01))
            try:
                self._life(mailbox, until)
            except StoreError as e:
                assert e.reason == "StoreUnavailable", e  # noqa: PT017 - any other failure is one of the product
                self.failures += 1
            finally:
                mailbox.close(release=False)

    def _life(self, mailbox: Mailbox, until: float) -> None:
        state = mailbox.open(
            identity=IDENTITY,
            gate_epoch=1,
            create=not self._state_id,
            state_id=self._state_id,
            known_seq=self._seq,
        )
        self._state_id = state.state_id
        assert state.went_back == 0  # appendfsync always: what was acknowledged is on disk
        cursor = int(state.cursor.split("/")[1]) if state.cursor else 0
        assert cursor >= self.acknowledged, "an acknowledged commit was lost"
        while time.monotonic() < until:
            mails = [self._mail(mailbox, cursor + n) for n in range(1, self.chance.randint(1, 20) + 1)]
            mailbox.commit(batch(*mails))
            cursor = self.acknowledged = mails[-1].uid
            self._seq = mailbox.state.seq
            if self.chance.random() < 0.2:
                actions = mailbox.due_actions(50).actions
                self.acted += [a.uid for a in actions]
                mailbox.settle([Outcome(action=a, result="done") for a in actions])

    def _mail(self, mailbox: Mailbox, uid: int) -> Mail:
        identity = TWIN if uid % 10 == 0 else None
        if self.chance.random() > 0.05:
            return mail(uid, body=b"%d " % uid * 300, identity=identity)
        writer = mailbox.start_blob()
        for _ in range(2):
            writer.append(b"%d " % uid * 20_000)
        return mail(uid, body=writer.finish(), identity=identity)


def torment(server: RedisServer, proxy: FaultProxy, chance: random.Random, until: float) -> int:
    """Cuts and kills until the time is over; the server runs at the end."""
    kills = 0
    while time.monotonic() < until:
        what = chance.random()
        if what < 0.3:
            server.kill()
            server.start()
            kills += 1
        elif what < 0.5:
            proxy.cut()
        else:
            proxy.cut_after(chance.randint(0, 30_000), chance.choice(["to_server", "to_client"]))
        time.sleep(chance.uniform(0.0, 0.2))
    return kills


def check(store: Store, driver: Driver) -> None:
    """Judges by the queue alone, and by what must agree with it."""
    uids = [int(e["uid"]) for e in store.entries()]
    cursor = int(store.state()["cursor"].split("/")[1])
    assert uids == list(range(1, cursor + 1))
    assert cursor >= driver.acknowledged
    assert len({e["id"] for e in store.entries()}) == len(uids)
    assert store.known() == len(uids)
    assert int(store.client.hget(KEYS.stats, "messages")) == len(uids)
    pending = [int(member.split(" ")[0].split("/")[1]) for member in store.outbox()]
    settled = {line["entry"] for line in store.log() if line["category"] == "AfterDownload"}
    assert len(pending) + len(settled) == len(uids)
    assert set(driver.acted) | set(pending) == set(uids)
    for entry in store.entries():
        if "blob" in entry:
            assert store.client.strlen(entry["blob"]) == int(entry["size"])
            assert store.client.pttl(entry["blob"]) == -1


def test_killed_and_cut_at_random(kind: Kind) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    with (
        RedisServer(kind=kind, appendfsync="always") as server,
        FaultProxy(server.port) as proxy,
        store_on(server.url, server.client()) as store,
    ):
        driver = Driver(store, f"redis://127.0.0.1:{proxy.port}", random.Random(seed))
        until = time.monotonic() + SECONDS
        errors: list[BaseException] = []

        def run() -> None:
            try:
                driver.run(until)
            except BaseException as e:
                errors.append(e)

        thread = threading.Thread(target=run)
        thread.start()
        kills = torment(server, proxy, random.Random(seed + 1), until)
        thread.join()
        if errors:
            raise errors[0]
        proxy.close()
        check(store, driver)
        assert kills > 2
        assert proxy.faults > 2
        assert driver.acknowledged > 100
        print(f"{driver.acknowledged} mails, {kills} kills, {proxy.faults} cuts, {driver.failures} failures seen")
