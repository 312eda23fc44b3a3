"""What tests have of a pretended region: where it is, what it holds, and the switches for what goes wrong there."""

import functools
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

NAME = "eu-central-1"
USER = "AKIAPRETENDED"
"""The key by which muster asks, and what it starts; tests have another, for which nothing has to be allowed."""

TESTS = Path(__file__).parents[1]
SERVE = "import sys; sys.path[:0] = [{!r}]; from aws.serve import main; main()"
VALIDATED = {
    "MOTO_ENABLE_AMI_VALIDATION": "true",
    "MOTO_ENABLE_KEYPAIR_VALIDATION": "true",
    "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION": "true",
    "MOTO_AMIS_PATH": str(Path(__file__).with_name("images.json")),
}
"""What moto looks at, which it would believe otherwise."""


@dataclass(frozen=True)
class Instance:
    """An instance as AWS and its host see it; ``root`` is how its files are found from here, while it lives.

    ``lived`` is how many seconds it has been there, or was.
    """

    id: str
    state: str
    public: str
    private: str
    zone: str
    type: str
    is_spot: bool
    tags: Mapping[str, str]
    log: str
    root: str
    lived: float


@dataclass(frozen=True)
class Region:
    """A region of AWS, at an address of this computer."""

    url: str

    def environment(self) -> dict[str, str]:
        """Write what finds it, for whoever looks where AWS' own tools look, and has nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": NAME,
            "AWS_DEFAULT_REGION": NAME,
            "AWS_ACCESS_KEY_ID": USER,
            "AWS_SECRET_ACCESS_KEY": "pretended",
            "AWS_EC2_METADATA_DISABLED": "false",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url,
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    @functools.cache  # noqa: B019 (there is but one region; to read all that AWS says of EC2 takes half a second)
    def client(self, service: str, region: str = NAME, *, key: str = "AKIATESTING") -> Any:  # noqa: ANN401 (it is made out of AWS' own data)
        """Make a client of AWS' own library, which asks only once."""
        import botocore.config  # most tests never need it
        import botocore.session

        return botocore.session.Session().create_client(
            service,
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id=key,
            aws_secret_access_key="pretended",  # noqa: S106 (it opens nothing)
            config=botocore.config.Config(retries={"total_max_attempts": 1}),
        )

    def provider(self) -> int:
        """Serve Pulumi's engine from now on; tell at which port."""
        return int(self._switch("provider", url=self.url))

    def configured(self) -> dict[str, object]:
        """Tell what the program told the provider last."""
        found: dict[str, object] = self._switch("configured")
        return found

    # What there is

    def instances(self) -> list[Instance]:
        """List all that were ever launched, in that order."""
        return [Instance(**told) for told in self._switch("instances")]

    def living(self) -> list[Instance]:
        return [one for one in self.instances() if one.state in {"pending", "running"}]

    def asked(self, since: int = 0) -> list[dict[str, str]]:
        """List all requests, or those after the first so many: their ``service``, ``Action`` and parameters."""
        found: list[dict[str, str]] = self._switch("asked", since=since)
        return found

    def address_here(self) -> str:
        """Name this computer's address, as machines there see it."""
        return str(self._switch("at_home"))

    # What goes wrong

    def refuse(self, action: str, code: str, message: str = "It is refused.", **words: object) -> None:
        """Have an action be refused (any, where it is empty); ``words`` as in ``faults.Refusal``."""
        self._switch("refuse", action=action, code=code, message=message, **words)

    def has_no_capacity(self, zone: str, **where: str) -> None:
        """Have no room in a zone, or only not for some type (``InstanceType``)."""
        why = f"We currently do not have sufficient capacity in the Availability Zone you requested ({zone})."
        self.refuse("RunInstances", "InsufficientInstanceCapacity", why, where={"Zone": zone, **where}, status=500)

    def has_a_quota(self) -> None:
        """Launch nothing more, as there are too many processors already."""
        why = "You have requested more vCPU capacity than your current vCPU limit of 32 allows."
        self.refuse("RunInstances", "VcpuLimitExceeded", why)

    def permits_not(self, action: str) -> None:
        self.refuse(action, "UnauthorizedOperation", "You are not authorized to perform this operation.", status=403)

    def knows_credentials_no_more(self) -> None:
        self.refuse("", "ExpiredToken", "The security token included in the request is expired.", status=403)
        self.refuse("", "RequestExpired", "Request has expired.", where={"service": "ec2"})

    def throttles(self, times: int, action: str = "") -> None:
        self.refuse(action, "RequestLimitExceeded", "Request limit exceeded.", times=times, status=503)

    def boots(self, **words: object) -> None:
        """Have instances that are launched from now on boot otherwise; ``words`` as in ``instances.Boots``.

        Those that were held until now go on.
        """
        self._switch("boot", **words)

    def lose(self, one: Instance, why: str = "Server.InternalError: Internal error on launch") -> None:
        """Take a machine away; AWS says why in these words."""
        self._switch("lose", name=one.id, why=why)

    def cut(self, one: Instance) -> None:
        """Cut a machine off from all others."""
        self._switch("cut", name=one.id)

    def gives_notice(self, one: Instance, seconds: float = 120) -> None:
        """Have a spot instance be told that it is interrupted soon."""
        when = datetime.now(UTC) + timedelta(seconds=seconds)
        self._switch("notice", name=one.id, when=f"{when:%Y-%m-%dT%H:%M:%SZ}")

    def mend(self) -> None:
        """Refuse nothing any more."""
        self._switch("mend")

    def begin_anew(self) -> None:
        """Mend all that goes wrong, and forget all that was made."""
        self._switch("anew")

    def _switch(self, name: str, /, **words: object) -> Any:  # noqa: ANN401 (it is JSON)
        request = urllib.request.Request(  # noqa: S310 (it is HTTP)
            f"{self.url}/pretended/{name}", data=json.dumps(words).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 (likewise)
            return json.load(answer)


@contextmanager
def pretended_region() -> Iterator[Region]:
    """Have a region in a process of its own, which ends with this one, whatever becomes of it."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-P",
            "-c",
            f"import sys; sys.path[:0] = [{str(TESTS)!r}]; from aws.serve import main; main()",
            NAME,
        ],
        env={**os.environ, **VALIDATED},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout
        assert process.stdin
        yield Region(f"http://127.0.0.1:{int(process.stdout.readline())}")
        process.stdin.close()
