"""Answers of the authority that end as 'internal error' (session.py:130) in place of ConnectionFailed."""
import json, sys
sys.path.insert(0, "/tmp/rev-atk/m/fetcher")
from mailfetch_fetcher.auth import authority as A, microsoft, google
from mailfetch_fetcher.auth.client import Client
from mailfetch_fetcher.https import Answer
from mailfetch_fetcher.errors import SourceError
import requests
c = Client(secret="s", namespace="n", values={"client-id": "app", "client-secret": "x", "tenant-id": "t"})
good = {"token_endpoint": "https://login.microsoftonline.com/t/token", "authorization_endpoint": "https://login.microsoftonline.com/t/a", "issuer": "https://login.microsoftonline.com/t/v2.0"}
def run(name, docs, fn):
    it = iter(docs)
    A.send = lambda *a, **k: (print("   ", a[1], a[2]), Answer(status_code=200, headers={}, text=next(it)))[1]
    try:
        with A.visit("h", ca=None, timeout=1) as au: print(name, "ok", fn(au))
    except (SourceError, A.Refused) as e: print(name, "fine:", repr(e)[:100])
    except Exception as e: print(name, "UNCAUGHT", type(e).__name__, str(e)[:150])
rt = lambda au: microsoft.with_refresh_token(au, c, host="login.microsoftonline.com", tenant="t", scopes=["https://graph.microsoft.com/Mail.Read"], refresh_token="r", claims="", capable=True, now=0.0)
tok = {"access_token": "x", "expires_in": 3600, "token_type": "Bearer"}
run("discovery {}", ["{}"], rt)
run("discovery deep", ["["*100000], rt)
run("token_endpoint elsewhere", [json.dumps(good | {"token_endpoint": "https://evil.example/t"}), json.dumps(tok)], rt)
run("expires_in 1e999", [json.dumps(good), '{"access_token":"x","expires_in":1e999}'], rt)
run("id_token junk", [json.dumps(good), json.dumps(tok | {"id_token": "junk"})], rt)
run("error in 200", [json.dumps(good), json.dumps(tok | {"error": "e"})], rt)
g = Client(secret="s", namespace="n", values={"client-id": "app", "client-secret": "x"})
gt = lambda au: google.with_refresh_token(au, g, scopes=["https://mail.google.com/"], refresh_token="r")
run("google huge expires", ['{"access_token":"x","expires_in":99999999999999}'], gt)
run("google scopes", ['{"access_token":"x","expires_in":3600,"scope":"other"}'], gt)
run("google str", ['{"access_token":"x","expires_in":3600.5,"id_token":5,"scope":5}'], gt)
