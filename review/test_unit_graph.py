import json
from tests.unit.graph.test_graph_parts import SETTINGS, refused
TOK = "ya29." + "Ab3dEf9hIj" * 16
def test_graph_or_a_proxy_that_echoes_the_token():
    e = refused(SETTINGS, status=401, headers={}, body=json.dumps({"error": {"code": "x", "message": "bad token " + TOK}}).encode())
    assert TOK not in e.message
def test_retry_after_inf():
    e = refused(SETTINGS, status=429, headers={"Retry-After": "9"*400}, body=b"")
    print(e.retry_after)
