import threading, time, pytest, dataclasses
from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources import graph_http
from mailfetch_fetcher.sources.graph import GraphSource
from mailfetch_fetcher.sources.graph_settings import GraphSettings
from tests.integration.fetcher.helpers import assignment, bodies
from tests.integration.graph.tenant import OFTEN, USER, Tenant
from tests.integration.graph.test_source import FixedBearer, graph, mailbox
from tests.servers import mailgen
from tests.servers.redis import RedisServer

def test_the_mailbox_of_somebody_else_is_downloaded(fetcher, server, tenant: Tenant):
    """spec.auth.username is a@, the refresh token in the token Secret is of u@ (a Secret shared by two connections)."""
    tenant.authority.account("a@contoso.com"); tenant.graph.mailbox("a@contoso.com")
    tenant.fill(*mailgen.mails(3))   # in u@'s mailbox
    fetcher.assign(assignment(tenant.spec(username="a@contoso.com", schedule=OFTEN)))
    fetcher.caught_up(3)             # u@'s three mails are in the stream of a@
    assert False, "downloaded " + str(len(bodies(server)))

class Stuck(FixedBearer):
    def __init__(self): self.gate = threading.Event(); self.opened = False
    def token(self, *, refused="", claims=""):
        self.gate.wait()
        return "token"

def settings(certificates, name):
    return GraphSettings(host="graph.microsoft.com", mailbox=name, base="/v1.0/me", ca=certificates.ca.read_bytes(), timeout=5)

def test_a_slow_authority_stops_the_mailboxes_of_others(graph, mailbox, certificates):
    stuck = Stuck()
    mine = [graph_http.GraphHttp(settings(certificates, f"m{n}"), bearer=stuck, alive=lambda: None) for n in range(32)]
    def ask(h):
        try: h.get("/v1.0/me/mailFolders/inbox")
        except Exception: pass
    ts = [threading.Thread(target=ask, args=(h,), daemon=True) for h in mine]
    [t.start() for t in ts]; time.sleep(0.5)
    other = graph_http.GraphHttp(settings(certificates, USER), bearer=FixedBearer(), alive=lambda: None)
    done = threading.Event()
    threading.Thread(target=lambda: (ask(other), done.set()), daemon=True).start()
    ok = done.wait(5)
    stuck.gate.set(); [t.join(20) for t in ts]
    assert ok, "a mailbox with a good token waits for the authority of others"
