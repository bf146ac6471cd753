"""Pages of changes that the Graph double tells word for word; afterwards it goes on as if it had told everything."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tests.integration.graph.tenant import GRAPH, USER
from tests.servers.graph import GraphFake
from tests.servers.graph_faults import Fault
from tests.servers.graph_schema import Answer

Told = dict[str, Any]


def there(id: str, *, folder: str, received: str) -> Told:
    """The word that a mail came."""
    return {"id": id, "isRead": False, "receivedDateTime": received, "createdDateTime": received} | {
        "parentFolderId": folder
    }


def left(id: str) -> Told:
    """The word that a mail left."""
    return {"id": id, "@removed": {"reason": "deleted"}}


def tell(graph: GraphFake, *pages: Sequence[Told], again: bool = False) -> None:
    """The next round tells these pages of the inbox, instead of what happened since the last one.

    Args:
        graph: Has told a round before.
        pages: What each page tells.
        again: It is the next round from the beginning.
    """
    with graph.lock:
        mailbox = graph.mailbox(USER)
        address = f"{GRAPH}/v1.0/users/{USER}/mailFolders('{mailbox.folder('inbox').id}')/messages/delta"
        last = next(token for token in reversed(mailbox.tokens.values()) if token.kind == "delta")
        name = f"told-{mailbox.changes}"
        mailbox.tokens[name] = replace(last, round=replace(last.round, until=mailbox.changes))
        for n, page in enumerate(pages):
            link = {"@odata.nextLink": f"{address}?$skiptoken={n + 1}"}
            if n + 1 == len(pages):
                link = {"@odata.deltaLink": f"{address}?$deltatoken={name}"}
            body = json.dumps({"value": list(page), **link}).encode()
            answer = Answer(body=body, headers={"Preference-Applied": 'IdType="ImmutableId"'})
            graph.fail("delta_next" if n else "delta" if again else "delta_link", Fault(answer=answer))
