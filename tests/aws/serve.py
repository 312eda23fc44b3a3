"""The region's own process: moto behind a door that a test's switches can shut. It ends with its standard input.

It prints its port. What moto checks is decided by variables when it is loaded, so ``region`` starts it with them.
"""

import gc
import json
import logging
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from io import BytesIO
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from moto.ec2.models import ec2_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from moto.ssm.models import Parameter, ssm_backends
from werkzeug.serving import make_server

from aws import images
from aws.faults import Refusal
from aws.instances import Boots, Instances
from aws.told import console, told
from hosts import make_hosts

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from hosts import Hosts

ACCOUNT = "123456789012"
SWITCHES = "/pretended/"
METADATA = "/latest/"
UBUNTU = "/aws/service/canonical/ubuntu/server/24.04/stable/current/{}/hvm/ebs-gp3/ami-id"


class Region:
    """One region: its network, its instances, and what it refuses."""

    def __init__(self, name: str, hosts: "Hosts") -> None:
        self.name = name
        self._hosts = hosts
        self._backend: Any = ec2_backends[ACCOUNT][name]
        self._lay_network()
        self._name_images()
        self.instances = Instances(hosts, self._backend)
        self._refusals: list[Refusal] = []
        self._asked: list[dict[str, str]] = []
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environment: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        """Answer a request, or do what a test wants to be so."""
        length = int(environment.get("CONTENT_LENGTH") or 0)
        body = environment["wsgi.input"].read(length)
        environment["wsgi.input"] = BytesIO(body)
        if environment["PATH_INFO"].startswith(SWITCHES):
            switch = self._switches()[environment["PATH_INFO"].removeprefix(SWITCHES)]
            text = json.dumps(switch(**json.loads(body)))
            start("200 OK", [("Content-Type", "application/json")])
            return [text.encode()]
        if environment["PATH_INFO"].startswith(METADATA):
            return self._of_this_computer(environment["PATH_INFO"].removeprefix(METADATA), start)
        key, service = _scope(environment)
        asked = {"service": service, "key": key, **self._parameters(environment, body)}
        if asked["Action"] == "RunInstances" and not asked["Subnet"]:
            body = self._with_subnet(body, asked["Zone"])
            environment["wsgi.input"], environment["CONTENT_LENGTH"] = BytesIO(body), str(len(body))
        if asked["Action"] == "CreateImage":
            body = images.without_snapshots(body)
            environment["wsgi.input"], environment["CONTENT_LENGTH"] = BytesIO(body), str(len(body))
        with self.instances.lock:  # moto is made for one request at a time
            self._asked.append(asked)
            refusal = next((one for one in self._refusals if one.meets(asked)), None)
            if refusal is not None:
                return _begun(start, f"{refusal.status} Refused", *refusal.answer(service))
            if asked["Action"] == "GetConsoleOutput":
                return _begun(start, "200 OK", *console(self.instances.log_of(asked["InstanceId"])))
            if (answer := told(service, asked)) is not None:
                return _begun(start, "200 OK", *answer)
            answered = list(self._moto(environment, start))
            if asked["Action"] == "CreateImage":
                folder = self._hosts.folder
                images.make(asked, b"".join(answered), backend=self._backend, instances=self.instances, folder=folder)
        self.instances.see()
        return answered

    def _of_this_computer(self, path: str, start: "StartResponse") -> Iterable[bytes]:
        """Answer as the metadata service of a machine in the default network: this computer reaches all others."""
        told = {
            "api/token": "token",
            "meta-data/mac": "0e:00",
            "meta-data/network/interfaces/macs/0e:00/vpc-id": self._backend.default_vpc.id,
        }
        return _begun(start, "200 OK" if path in told else "404 Not Found", "text/plain", told.get(path, "").encode())

    def _switches(self) -> dict[str, Callable[..., object]]:
        return {
            "refuse": self._refuse,
            "mend": self._refusals.clear,
            "boot": self._boot,
            "instances": self.instances.told,
            "asked": lambda since: self._asked[since:],
            "lose": self.instances.lose,
            "cut": self.instances.cut,
            "notice": self.instances.give_notice,
            "at_home": lambda: self._hosts.address,
            "anew": self._anew,
            "provider": self._serve_provider,
            "configured": lambda: self._provider.configured.variables,
        }

    def _serve_provider(self, url: str) -> int:
        """Serve Pulumi's engine, for as long as the region is there."""
        from aws.provider import serve
        from aws.region import USER
        from aws.region import Region as Client

        port, self._provider = serve(lambda region: Client(url).client("ec2", region, key=USER))
        return port

    def _refuse(self, **words: Any) -> None:  # noqa: ANN401 (it is JSON)
        self._refusals.insert(0, Refusal(**words))  # what was said last counts

    def _boot(self, **words: Any) -> None:  # noqa: ANN401 (likewise)
        self.instances.begin(Boots(**words))

    def _anew(self) -> None:
        """Switch all faults off, end all instances, and forget everything that was made."""
        self._refusals.clear()
        self._asked.clear()
        self._boot()
        self.instances.end_all()
        with self.instances.lock:
            self._backend.reset()
            s3_backends[ACCOUNT]["aws"].reset()
            self._lay_network()

    def _lay_network(self) -> None:
        """Have a default network at whose addresses hosts can be: three zones, and an address outside for each."""
        backend = self._backend
        backend.vpcs.clear()
        backend.subnets.clear()
        backend.default_vpc = backend.create_vpc(str(self._hosts.network), is_default=True)
        gateway = backend.create_internet_gateway()
        backend.attach_internet_gateway(gateway.id, backend.default_vpc.id)
        main = backend.describe_route_tables(filters={"vpc-id": backend.default_vpc.id})[0]
        backend.create_route(main.id, "0.0.0.0/0", gateway_id=gateway.id)
        for zone, block in zip("abc", self._hosts.network.subnets(new_prefix=26), strict=False):
            backend.create_subnet(backend.default_vpc.id, str(block), availability_zone=f"{self.name}{zone}")

    def _name_images(self) -> None:
        """Have AWS name the newest image of Ubuntu, as it does in parameters that everybody may read."""
        store = ssm_backends[ACCOUNT][self.name]
        for image in self._backend.describe_images():
            path = UBUNTU.format({"x86_64": "amd64"}.get(image.architecture, image.architecture))
            store._parameters[path].append(  # noqa: SLF001 (nobody but AWS may write there, moto says)
                Parameter(  # type: ignore[abstract]
                    account_id=ACCOUNT,
                    name=path,
                    value=image.id,
                    parameter_type="String",
                    description="",
                    allowed_pattern=None,
                    keyid=None,
                    last_modified_date=datetime.now(UTC),
                    version=1,
                    data_type="text",
                )
            )

    def _parameters(self, environment: "WSGIEnvironment", body: bytes) -> dict[str, str]:
        """Tell what is asked for: of EC2, also the zone, wherever it stands."""
        if _scope(environment)[1] == "s3":
            return {"Action": _asked_of_s3(environment), "Path": environment["PATH_INFO"]}
        if target := environment.get("HTTP_X_AMZ_TARGET"):
            return {"Action": target.rpartition(".")[2], "Body": body.decode(errors="replace")}
        asked = {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}
        subnet = asked.get("SubnetId") or asked.get("NetworkInterface.1.SubnetId", "")
        zone = self._zones().get(subnet) or asked.get("Placement.AvailabilityZone") or f"{self.name}a"
        shutdown = self.instances.shutdown_of(asked) if asked.get("Action") == "RunInstances" else ""
        return {"Action": environment["PATH_INFO"], **asked, "Zone": zone, "Subnet": subnet, "Shutdown": shutdown}

    def _with_subnet(self, body: bytes, zone: str) -> bytes:
        """Name the zone's default subnet in a request that names none: moto would launch into no network at all."""
        default = [subnet for subnet, lies_in in self._zones().items() if lies_in == zone]
        return body + b"".join(f"&SubnetId={one}".encode() for one in default[:1])

    def _zones(self) -> dict[str, str]:
        """Tell in which zone each subnet is."""
        return {name: zone for zone, subnets in self._backend.subnets.items() for name in subnets}


def _begun(start: "StartResponse", status: str, kind: str, body: bytes) -> list[bytes]:
    start(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def _scope(environment: "WSGIEnvironment") -> tuple[str, str]:
    """Tell who asks, by the id of the key, and which service."""
    scope = environment.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].split("/")
    return (scope[0], scope[3]) if len(scope) > 3 else ("", "")


def _asked_of_s3(environment: "WSGIEnvironment") -> str:
    """Name the permission that is needed: S3's requests bear no name of an action."""
    is_of_object = environment["PATH_INFO"].count("/") > 1
    verb = {"HEAD": "Get", "PUT": "Put" if is_of_object else "Create"}.get(environment["REQUEST_METHOD"])
    verb = verb or environment["REQUEST_METHOD"].capitalize()
    return f"{verb}Object" if is_of_object else {"Get": "ListBucket"}.get(verb, f"{verb}Bucket")


def main() -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    gc.freeze()  # what is loaded is no garbage: looking through it again and again takes a fifth of the time
    with make_hosts(0) as hosts:
        serving = make_server("127.0.0.1", 0, Region(sys.argv[1], hosts), threaded=True)
        Thread(target=serving.serve_forever, daemon=True).start()
        print(serving.server_port, flush=True)  # noqa: T201 (whoever started it waits for that)
        sys.stdin.read()
