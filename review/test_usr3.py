"""OAUTHBEARER where only that is offered: the fetcher logs in; the trial of `authorize` must too."""
import tests.servers.dovecot as d
from tests.integration.plugin.authorizing import Scene, connection
from tests.servers.dovecot_oauth2 import OAuth2

def test_oauthbearer_only(scene: Scene, certificates, monkeypatch):
    real = d.write_settings
    monkeypatch.setattr(d, "write_settings", lambda *a, **k: {**real(*a, **k), "mechanisms": "plain login oauthbearer"})
    with d.Dovecot(certificates, oauth2=OAuth2(introspection=scene.authority.introspection())) as only:
        scene.addresses[("outlook.office365.com", 993)] = only.imaps_port
        scene.save(connection("office"))
        with scene.run("office") as a:
            a.visit(a.address()); code = a.end()
        print(a.output)
        assert code == 0
