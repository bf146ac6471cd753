"""A page that trickles: no sign of life, and a place of the process held, for as long as it likes."""
import socket, ssl, threading, time
from mailfetch_fetcher.sources import graph_http
from tests.integration.graph.test_source import FixedBearer
from tests.integration.graph.test_atk import settings
from tests.servers.resolve import resolve

def test_drip_page(certificates):
    ls = socket.create_server(("127.0.0.1", 0)); ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(certificates.certificate("server"), certificates.key("server"))
    def one(c):
        try:
            s = ctx.wrap_socket(c, server_side=True); s.recv(65536)
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n")
            while True: s.sendall(b" "); time.sleep(0.1)
        except OSError: pass
    def run():
        while True: threading.Thread(target=one, args=(ls.accept()[0],), daemon=True).start()
    threading.Thread(target=run, daemon=True).start()
    beats = []
    with resolve({("graph.microsoft.com", 443): ls.getsockname()[1]}):
        h = graph_http.GraphHttp(settings(certificates, "x"), bearer=FixedBearer(), alive=lambda: beats.append(time.monotonic()))
        t0 = time.monotonic()
        t = threading.Thread(target=lambda: h.get("/v1.0/me/mailFolders/inbox"), daemon=True); t.start(); t.join(12)
        n = len(beats); held = 32 - graph_http._all_places._value; alive = t.is_alive()
        h.shut(); t.join(3); print("ended by shut:", not t.is_alive())
    assert not alive, f"{time.monotonic()-t0:.0f} s, signs of life: {n}, places held: {held}"
