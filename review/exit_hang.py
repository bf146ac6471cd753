"""A download thread that waits for the authority (or for its lock): cut() does not reach it, and the process does not end."""
import sys, threading, time
sys.path.insert(0, "/tmp/rev-atk/m/fetcher")
from mailfetch_fetcher.sources import graph_http
from mailfetch_fetcher.sources.graph_ahead import in_order
from mailfetch_fetcher.sources.graph_settings import GraphSettings
class Bearer:
    def token(self, *, refused="", claims=""): threading.Event().wait(20); return "t"   # an authority that trickles
h = graph_http.GraphHttp(GraphSettings(host="graph.microsoft.com", mailbox="a", base="/v1.0/me"), bearer=Bearer(), alive=lambda: None)
def session():
    try: list(in_order([lambda: h.get("/v1.0/me/x")]*3, at_once=3))
    except Exception as e: print("session ended", repr(e)[:80])
t = threading.Thread(target=session, daemon=True); t.start(); time.sleep(0.5)
h.shut(); h.close(); t.join(3); print("session thread alive 3 s after cut:", t.is_alive())
print("main returns"); 
