import imaplib, poplib, ssl, socket, threading, pytest
from kubectl_mailfetch.authorize import mailbox
from kubectl_mailfetch.authorize.words import Granted
from kubectl_mailfetch.authorize.secret import build_secret, check_replaceable
from kubectl_mailfetch.errors import PluginError
from tests.unit.plugin.test_authorize_plan import plan
from tests.unit.plugin.test_authorize_secret import OURS, CONNECTION, present

TOK = "ya29." + "Ab3dEf9hIj" * 16

def test_plugin_prints_the_token_that_a_server_echoes(monkeypatch):
    def look(granted, plan, context): raise imaplib.IMAP4.error(f"bad token {granted.access}")  # what imaplib raises for NO
    monkeypatch.setattr(mailbox, "_imap", look)
    with pytest.raises(PluginError) as e:
        mailbox.check_mailbox(Granted(access=TOK, refresh="r", scopes=frozenset()), plan(), http=None, ca_file="")
    print(e.value.message)
    assert TOK not in e.value.message

def test_the_token_of_another_connection_is_replaced_without_a_word():
    other = {"apiVersion": "mailfetch.dev/v1alpha1", "kind": "MailConnection", "name": "ceo", "uid": "99"}
    there = present(labels=OURS, ownerReferences=[other])
    with pytest.raises(PluginError):
        check_replaceable(there, plan(), overwrite=False)
