import base64, pytest
from mailfetch_fetcher.errors import SourceError
from tests.unit.imap.test_token_login import *
TOK = "ya29." + "Ab3dEf9hIj" * 16
LONG = "eyJ0" + "Ab3dEf9hIj" * 150

class B:
    def __init__(self, tok): self.t=tok; self.n=0
    def token(self, *, refused="", claims=""):
        if refused: self.n += 1
        return self.t if not self.n else "second" + self.t[::-1]

@pytest.fixture
def bearer(): return B(TOK)

def leak(msg, tok):
    for s in (tok, tok[::-1], base64.b64encode(tok.encode()).decode()):
        best = 0
        for i in range(0, len(s)-24, 1):
            if s[i:i+24] in msg:
                j = i+24
                while j < len(s) and s[i:j+1] in msg: j += 1
                best = max(best, j-i)
                break
        if best: return best, len(s)
    return 0, len(tok)

CASES = {
 "NO token of the first try": lambda t: ("refusal", ("bad token " + t).encode()),
 "NO base64": lambda t: ("refusal", ("bad " + base64.b64encode((f"user={USER}\x01auth=Bearer {t}\x01\x01").encode()).decode()).encode()),
 "BYE": lambda t: ("bye", t.encode()),
 "challenge scope": lambda t: ("challenge", {"status": "400", "scope": t}),
}
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("length", ["google", "long"])
def test_leak(server, make, bearer, case, length, monkeypatch):
    tok = TOK if length == "google" else LONG
    bearer.t = tok
    kind, what = CASES[case](tok)
    if kind == "refusal": server.quirks.tokens.refusal = what
    elif kind == "challenge": server.quirks.tokens.challenge = what
    else: server.quirks.tokens.refusal = b"x\r\n* BYE " + what
    if kind == "bye":
        from tests.servers import imapfake_session as s
        import tests.servers.saslfake as sf
        cls = [c for c in vars(s).values() if isinstance(c, type) and "_check_token" in vars(c)][0]
        monkeypatch.setattr(cls, "_check_token", lambda self, m, x: self.send(b"* BYE " + what + b"\r\n"))
    with pytest.raises(SourceError) as e: make().open()
    got = leak(e.value.message, tok)
    print(case, length, got, e.value.message[:400])
    assert got[0] == 0
