"""Start a Ray node whose address may be 127.0.0.1: ``python node.py start ...`` takes what ``ray start`` takes.

Ray's own command turns a loopback address into one of the network, and a node that is not on loopback alone listens on
every interface. Several nodes on one computer, for its user alone, are what Ray has no option for.
"""

from ray._private import services
from ray.scripts.scripts import main


def _as_it_is(host: str) -> str:
    return host


if __name__ == "__main__":
    services.resolve_ip_for_localhost = _as_it_is
    main()  # type: ignore[no-untyped-call]  # Ray has few types
