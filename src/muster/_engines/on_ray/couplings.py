"""Where muster relies on Ray's words and on what Ray keeps for itself: each may change with any version of Ray.

Three more are with the clouds, which load no engine: what ``ray start`` prints at last (``_clouds.base.STARTED``), what
Ray says of a token that does not fit (``TOKEN_REFUSED`` there), and its private modules (``_clouds.there.node``).
``tests/test_couplings.py`` looks whether Ray still says and has all this.
"""

import contextlib
from typing import Any, Final

from muster._words import text_of

REFUSED: Final = r"\[[^]]*\] gcs_client\.cc:.*InvalidAuthToken"
"""What Ray prints each second for as long as it tries a token that does not fit: a pattern of such a line.

Where it changes, muster does not say that the token is wrong: it waits as for a head that cannot be reached, and the
lines go to the terminal.
"""

NOT_LET_IN: Final = "AuthenticationError"
"""How Ray names the error that it ends with at last. Where it changes, that error is shown as Ray says it."""

_CAUSE: Final = "Worker exit detail:"
_ADVICE: Final = "Some common causes"
"""What stands before the cause of a death, and behind it. Where they change, users read a page of advice around it."""


def address_of_this_node(host: str) -> dict[str, Any]:
    """Write the argument of ``ray.init`` that tells it which of this computer's addresses the cluster knows.

    It is not documented. Where it is gone, a driver on a host with several addresses may take one that no machine
    reaches: it then joins no cluster, or never hears of its workers.
    """
    return {"_node_ip_address": host}


def send_only_plain_objects() -> None:
    """Have Ray not learn, before it sends anything, how objects of Arrow and pydantic are sent: it loads both for that.

    Ours are bytes and plain objects. Where Ray learns that elsewhere, a driver takes half as long again to start.
    """
    with contextlib.suppress(ImportError):
        from ray.util import serialization_addons

        serialization_addons.apply = _learn_nothing


def _learn_nothing(context: object) -> None:
    del context


def cause_of(error: BaseException) -> str:
    """Take what Ray says of a death, without the page of advice around it."""
    text = " ".join(text_of(error).split())
    _, found, cause = text.partition(_CAUSE)
    return cause.partition(_ADVICE)[0].strip() if found else text[:300]
