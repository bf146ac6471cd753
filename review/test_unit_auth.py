import threading, time, socket, ssl, json
import pytest
from datetime import UTC, datetime
from mailfetch_fetcher.auth.tokens import Granted, Tokens
from mailfetch_fetcher.errors import SourceError, Pace
from mailfetch_fetcher.auth import authority
from mailfetch_fetcher.auth.authority import _is_good
from mailfetch_fetcher.auth.failures import read_refusal
from mailfetch_fetcher.https import Answer, new_session, send, retry_after
from tests.unit.auth.test_tokens import FakeClock, Provider, clock, tokens, provider

def test_one_mailbox_refusal_takes_the_good_token_of_all(tokens, clock, provider):
    t = tokens.get(b"k", fetch=provider).access_token
    provider.failure = SourceError("Throttled", "patience", pace=Pace.SLOW, retry_after=3000.0)
    with pytest.raises(SourceError):  # a mailbox whose server refuses it (no permission there)
        tokens.get(b"k", fetch=provider, refused=t)
    # every other mailbox: the token is good for another hour
    assert tokens.get(b"k", fetch=provider).access_token == t

@pytest.mark.parametrize("text", ["["*100000, '{"access_token":"x","expires_in":1e999}'])
def test_is_good(text):
    _is_good(text, token=True)

def test_read_refusal_deep():
    read_refusal(Answer(status_code=400, headers={}, text="["*100000), now=datetime.now(UTC))

@pytest.mark.parametrize("text", ["9"*400, "²", "Mon, 01 Jan 0001 00:00:00 +2359", "Fri, 31 Dec 9999 23:59:59 -2359", "x", "Mon, 99 Jan 2020 00:00:00 GMT", "1 2 3 4 5 6 7 8"])
def test_retry_after(text):
    print(retry_after(text, now=datetime.now(UTC)))

@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    from tests.servers.certs import make_certificates
    return make_certificates(tmp_path_factory.mktemp("c"))

def drip(certs, head, period):
    ls = socket.create_server(("127.0.0.1", 0)); 
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); 
    ctx.load_cert_chain(certs.certificate("server"), certs.key("server"))
    def one(c):
        try:
            s = ctx.wrap_socket(c, server_side=True)
            s.recv(65536); s.sendall(head)
            while True:
                s.sendall(b" "); time.sleep(period)
        except OSError: pass
    def run():
        while True:
            c,_ = ls.accept(); threading.Thread(target=one, args=(c,), daemon=True).start()
    threading.Thread(target=run, daemon=True).start()
    return ls.getsockname()[1]

@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nContent-Length: 16000\r\n\r\n", b"HTTP/1.1 200 OK\r\n"])
def test_drip(certs, head):
    port = drip(certs, head if head.endswith(b"\r\n\r\n") else head + b"X: ", 0.1)
    import requests
    done = []
    def go():
        t=time.monotonic()
        with new_session(ca=certs.ca.read_bytes()) as s:
            try: send(s, "GET", f"https://localhost:{port}/", timeout=0.5)
            except requests.RequestException as e: done.append((time.monotonic()-t, repr(e)))
    th = threading.Thread(target=go, daemon=True); th.start(); th.join(12)
    print(done)
    assert done, "not ended after 12 s; 4*timeout is 2 s"
