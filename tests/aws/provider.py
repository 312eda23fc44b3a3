"""The AWS provider of a pretended region, for the real engine of Pulumi: what it is asked for goes to the region's API.

It knows the resources that muster makes, and of each the properties that muster writes: another one is an error, as it
is with the real provider. As there, an instance counts as made once it runs, and a security group that is in use does
not go. It serves the engine for as long as the region is there; the engine finds it with ``PULUMI_DEBUG_PROVIDERS``.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
from botocore.exceptions import ClientError
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from aws.resources import RESOURCES, Client, EndedEarlyError, Missing, Resource
from muster._words import text_of

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What stands for a value that nobody knows before it is made."""

VERSION = "7.51.1"
Properties = dict[str, Any]


@dataclass
class Configured:
    """What the program told the provider."""

    variables: Properties = field(default_factory=dict)


class Provider(provider_pb2_grpc.ResourceProviderServicer):  # type: ignore[misc]  # gRPC has no types
    """Answers the engine. ``connect`` makes a client of EC2 in a region."""

    def __init__(self, connect: Callable[[str], Client]) -> None:
        self._connect = connect
        self.configured = Configured()

    # About itself

    def GetPluginInfo(self, request: object, context: object) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=VERSION)

    def Attach(self, request: object, context: object) -> Empty:
        return Empty()

    def Cancel(self, request: object, context: object) -> Empty:
        return Empty()

    def CheckConfig(self, request: provider_pb2.CheckRequest, context: object) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: object, context: object) -> provider_pb2.DiffResponse:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request: provider_pb2.ConfigureRequest, context: object) -> provider_pb2.ConfigureResponse:
        self.configured.variables = read(request.args)
        return provider_pb2.ConfigureResponse(acceptSecrets=False, supportsPreview=True)

    # About resources

    def Check(self, request: provider_pb2.CheckRequest, context: object) -> provider_pb2.CheckResponse:
        news, kind = read(request.news), kind_of(request.urn)
        odd = sorted({name for name in news if not name.startswith("__")} - set(kind.properties))
        failures = [provider_pb2.CheckFailure(property=name, reason="there is no such property") for name in odd]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    def Diff(self, request: provider_pb2.DiffRequest, context: object) -> provider_pb2.DiffResponse:
        kind, ignored = kind_of(request.urn), set(request.ignoreChanges)
        olds, news = read(request.old_inputs), read(request.news)
        names = [name for name in kind.properties if olds.get(name) != news.get(name) and name not in ignored]
        names += [name for name in kind.always_differs if name not in ignored]
        answer = provider_pb2.DiffResponse
        return answer(
            changes=answer.DIFF_SOME if names else answer.DIFF_NONE,
            diffs=names,
            replaces=[name for name in names if name in kind.replaced_for],
            deleteBeforeReplace=False,
        )

    def Create(self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext) -> provider_pb2.CreateResponse:
        inputs = read(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(id="", properties=request.properties)
        kind = kind_of(request.urn)
        with refusing(context):
            name = kind.create(self._ec2(), inputs)
            return provider_pb2.CreateResponse(id=name, properties=written(inputs | kind.read(self._ec2(), name)))

    def Read(self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext) -> provider_pb2.ReadResponse:
        kind, inputs = kind_of(request.urn), read(request.inputs)
        with refusing(context):
            try:
                found = kind.read(self._ec2(), request.id)
            except Missing:
                return provider_pb2.ReadResponse()
            return provider_pb2.ReadResponse(
                id=request.id, properties=written(read(request.properties) | found), inputs=written(inputs)
            )

    def Update(self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext) -> provider_pb2.UpdateResponse:
        kind, news = kind_of(request.urn), read(request.news)
        if request.preview:
            return provider_pb2.UpdateResponse(properties=request.news)
        with refusing(context):
            kind.update(self._ec2(), request.id, read(request.old_inputs), news)
            return provider_pb2.UpdateResponse(properties=written(news | kind.read(self._ec2(), request.id)))

    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> Empty:
        with refusing(context):
            kind_of(request.urn).delete(self._ec2(), request.id)
        return Empty()

    def _ec2(self) -> Client:
        return self._connect(self.configured.variables["region"])


class refusing:  # noqa: N801 (it reads as a word)
    """Tell the engine of what AWS refuses, in AWS' own words; of a fault of the provider's own, where it is."""

    def __init__(self, context: grpc.ServicerContext) -> None:
        self._context = context

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, at: object) -> None:
        if isinstance(error, ClientError):
            told = error.response["Error"]
            said = f"operation error EC2: {error.operation_name}, https response error StatusCode: 400, RequestID: 1"
            self._context.abort(grpc.StatusCode.UNKNOWN, f"{said}, api error {told['Code']}: {told['Message']}")
        if isinstance(error, (EndedEarlyError, Missing)):
            self._context.abort(grpc.StatusCode.UNKNOWN, str(error))
        if error is not None:
            self._context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {text_of(error)}")


def serve(connect: Callable[[str], Client]) -> tuple[int, Provider]:
    """Serve a provider from now on; tell at which port."""
    server, provider = grpc.server(ThreadPoolExecutor(16)), Provider(connect)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    SERVING.append(server)
    return port, provider


SERVING: list[grpc.Server] = []


def kind_of(urn: str) -> Resource:
    return RESOURCES[urn.split("::")[-2].rpartition("$")[2]]


def read(struct: Struct) -> Properties:
    """Read properties, whole numbers as such."""
    found: Properties = whole(MessageToDict(struct))
    return found


def written(properties: Mapping[str, Any]) -> Struct:
    struct = Struct()
    struct.update(properties)
    return struct


def whole(value: Any) -> Any:  # noqa: ANN401 (it is JSON)
    match value:
        case float() if value.is_integer():
            return int(value)
        case Mapping():
            return {name: whole(one) for name, one in value.items()}
        case str():
            return value
        case Sequence():
            return [whole(one) for one in value]
    return value
