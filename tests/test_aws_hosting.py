"""The program that Pulumi's engine has run here, where the engine ends first. With an engine: ``test_aws_stack.py``."""

import socket
from collections.abc import Iterator

import pytest

from open_loops import open_loops


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address where an engine was and is no more; nobody else gets it meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def test_where_the_engine_has_ended_nothing_stays_open_and_the_program_has_not_succeeded(nowhere: str) -> None:
    proto, grpc = pytest.importorskip("pulumi.runtime.proto"), pytest.importorskip("grpc")
    served = pytest.importorskip("muster._clouds.aws.hosting").served
    before = open_loops()
    asked = proto.language_pb2.RunRequest(project="p", stack="s", monitor_address=nowhere, args=[nowhere], parallel=2)
    with served(lambda: None) as address, grpc.insecure_channel(address) as channel:
        answer = proto.language_pb2_grpc.LanguageRuntimeStub(channel).Run(asked, timeout=60)
    assert answer.error == "RunError: Resource monitor has terminated, shutting down"
    assert open_loops() <= before
