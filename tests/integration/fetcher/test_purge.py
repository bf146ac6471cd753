"""`mailfetch-fetcher purge`: what the Job of a deleted connection removes, and what it leaves alone."""

from pathlib import Path

from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.contract.assignment import Assignment, Assignments, encode
from mailfetch_fetcher.contract.purge import PurgeResult
from mailfetch_fetcher.purging import purge_connection
from tests.integration.fetcher.helpers import Account, Fetcher, assignment, bodies
from tests.servers import mailgen
from tests.servers.redis import RedisServer, wait_until


def purge(fetcher: Fetcher, a: Assignment, *, redis: Path | None = None) -> PurgeResult:
    text = encode(Assignments(cluster_id="cluster-1", connections=(a,)))
    return purge_connection(text, redis=redis or fetcher.env.redis, pod_uid="job", clock=Clock())


def leave(fetcher: Fetcher) -> None:
    fetcher.assign()
    wait_until(lambda: not fetcher.env.hub.wait("", 0).connections, what="the sessions have ended")


def test_all_of_it_goes_and_nothing_of_others(
    fetcher: Fetcher, server: RedisServer, account: Account, make_account: object
) -> None:
    assert callable(make_account)
    other: Account = make_account()
    account.dovecot.fill(account.user, [*mailgen.mails(20), mailgen.large_mail(500_000)])
    other.dovecot.fill(other.user, mailgen.mails(5, seed=2))
    account.give_secrets(fetcher)
    queue = {"stream": "both"}
    one, two = assignment(account.spec(queue=queue), name="one"), assignment(other.spec(queue=queue), name="two")
    fetcher.assign(one, two)
    fetcher.caught_up(21, "one")
    fetcher.caught_up(5, "two")
    leave(fetcher)
    result = purge(fetcher, one)
    assert (result.uid, result.removed, result.problem) == ("uid-one", 21, None)
    assert not list(server.client().scan_iter("*:conn:one:*"))
    assert not list(server.client().scan_iter("*:blob:*"))
    assert len(bodies(server.client(), stream="both")) == 5
    assert purge(fetcher, one).removed == 0  # again: as good
    fetcher.assign(two)
    fetcher.wait_for(lambda r: r.phase == "Listening" and r.messages == 5, "two")
    leave(fetcher)
    assert purge(fetcher, two).problem is None
    assert server.client().dbsize() == 0
    fetcher.assign(one)  # a new connection of that name begins anew
    fetcher.caught_up(21, "one")


def test_not_while_it_is_in_use(fetcher: Fetcher, server: RedisServer, account: Account) -> None:
    account.dovecot.fill(account.user, mailgen.mails(3))
    account.give_secrets(fetcher)
    a = assignment(account.spec())
    fetcher.assign(a)
    fetcher.caught_up(3)
    problem = purge(fetcher, a).problem
    assert problem
    assert problem.reason == "StoreUnavailable"
    assert len(bodies(server.client())) == 3


def test_without_redis_it_says_so(fetcher: Fetcher, account: Account, tmp_path: Path) -> None:
    problem = purge(fetcher, assignment(account.spec()), redis=tmp_path).problem
    assert problem
    assert problem.reason == "SecretNotFound"
