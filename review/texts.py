import requests
from mailfetch_fetcher.auth.authority import _unreachable
from mailfetch_fetcher.errors import Pace
print("1:", _unreachable("TLSFailed","login.microsoftonline.com",requests.exceptions.SSLError("x"),pace=Pace.CONFIGURATION).message)
from mailfetch_fetcher.sources import token_errors as t, graph_errors as g
from mailfetch_fetcher.sources.sasl import TokenLogin
from types import SimpleNamespace as N
u=N(address="imap.gmail.com:993",username="sa@example.com",mailbox="orders@example.com")
for flow in ("Application","Delegated"):
    print("2",flow,":", t.refused(u,TokenLogin(bearer=None,provider="Google",flow=flow),protocol="IMAP",text="[AUTHENTICATIONFAILED] Invalid credentials (Failure)").message)
s=N(host="graph.microsoft.com",mailbox="a@contoso.com")
e=g.refused(s,status=403,headers={},body=b'{"error":{"code":"ErrorAccessDenied","message":"Access is denied. Check credentials and try again."}}')
print("3:",e.reason,e.message)
u=N(address="outlook.office365.com:995",username="a@contoso.com",mailbox="a@contoso.com")
for txt in ('AUTHENTICATE failed. [Error="ProxyNotAuthenticated" AuthResultFromPopImapEnd=8]','AUTHENTICATE failed.','Authentication failure: unknown user name or bad password.'):
    print("4:",t.refused(u,TokenLogin(bearer=None,provider="Microsoft",flow="Delegated"),protocol="POP",text=txt).message)
# every AADSTS/google text
import string
from mailfetch_fetcher.auth import meanings as m
for k,v in {**m.AUTHORIZE}.items():
    assert set(x[1] for x in string.Formatter().parse(v) if x[1]) <= {"secret","tenant","user"}, k
