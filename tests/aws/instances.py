"""The machines behind moto's instances: each boots after a while, runs its user data, and takes its instance along."""

import base64
import json
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from threading import Event, RLock, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

from aws.images import unpacked
from hosts import PATH, Host, Hosts, HostsError, program

if TYPE_CHECKING:
    from moto.ec2.models import EC2Backend
    from moto.ec2.models.instances import Instance as MotoInstance

HERE = Path(__file__).parent
METADATA = "169.254.169.254"
TERMINATE = "terminate"
BY_ITSELF = "Client.InstanceInitiatedShutdown: Instance initiated shutdown"
"""Why AWS says that an instance has ended whose machine powered itself off."""


@dataclass
class Boots:
    """How instances that are launched from now on boot."""

    starts: float = 0.05
    """In how many seconds one is running, after it was pending."""
    seconds: float = 0.1
    """How long its machine then takes until it runs its user data."""
    way: str = "well"
    """``silent``: it runs its user data, and nobody reaches it; ``never``: there is no machine at all;
    ``unleashed``: its image has no ``python3``."""
    which: list[int] = field(default_factory=list)
    """Of those to come, counted from 1, to which ``way`` applies; all where it is empty."""
    held: bool = False
    """Whether one is pending until it is said anew how instances boot."""

    def of(self, number: int) -> str:
        return self.way if not self.which or number in self.which else "well"


@dataclass
class Behind:
    """An instance of moto's, and its host once that is there."""

    instance: "MotoInstance"
    public: str
    way: str
    shutdown: str
    """What becomes of it where its machine powers itself off."""
    host: Host | None = None
    is_over: bool = False
    launched: float = field(default_factory=monotonic)
    ended: float | None = None


class Instances:
    """Keeps moto's instances and hosts alike. ``lock`` is held by whoever looks at moto's."""

    def __init__(self, hosts: Hosts, backend: "EC2Backend") -> None:
        self.lock = RLock()
        self._boots, self._going = Boots(), Event()
        self._going.set()
        self._hosts, self._backend = hosts, backend
        self._behind: dict[str, Behind] = {}
        self._launched = 0
        self._public = cycle(map(str, list(hosts.network.subnets(new_prefix=26))[3].hosts()))
        Thread(target=self._watch, daemon=True).start()

    def see(self) -> None:
        """Boot what was launched, and lose what was terminated or stopped; called after each request."""
        with self.lock:
            for instance in [one for held in self._backend.reservations.values() for one in held.instances]:
                if instance.id not in self._behind:
                    self._launch(instance)
            over = [one for one in self._behind.values() if not one.is_over and not _lives(one.instance)]
            for one in over:
                one.is_over, one.ended = True, monotonic()
        for one in over:
            self._lose(one)

    def told(self) -> list[dict[str, Any]]:
        """Tell of every instance what a test asks."""
        with self.lock:
            return [self._of(one) for one in self._behind.values()]

    def begin(self, boots: Boots) -> None:
        """Have the next instances boot like that, counted from 1, and those go on that were held."""
        with self.lock:
            self._going.set()
            self._boots, self._launched, self._going = boots, 0, Event()
            if not boots.held:
                self._going.set()

    def end_all(self) -> None:
        """End all, and forget them."""
        for one in list(self._behind.values()):
            self._end(one)
        with self.lock:
            self._behind.clear()

    def lose(self, name: str, why: str) -> None:
        """Pull a machine's plug: AWS takes it away, or its hardware fails; AWS says why in these words."""
        self._end(self._behind[name], why)

    def cut(self, name: str) -> None:
        """Cut a machine off."""
        host = self._behind[name].host
        assert host
        self._hosts.cut(host)

    def give_notice(self, name: str, when: str) -> None:
        """Have the metadata service say that a spot instance is about to be interrupted, at that time (ISO 8601)."""
        path = self._metadata(name)
        notice = json.dumps({"action": TERMINATE, "time": when})
        path.write_text(json.dumps(json.loads(path.read_text()) | {"/latest/meta-data/spot/instance-action": notice}))

    def root_of(self, name: str) -> str:
        """Tell how the files of a machine are found from here; empty where there is none."""
        return self._root(self._behind[name])

    # What happens to one

    def _launch(self, instance: "MotoInstance") -> None:
        self._launched += 1
        instance._state.name, instance._state.code = "pending", 0  # noqa: SLF001 (moto has it run at once)
        template = self._template(instance)
        shutdown = template.get("InstanceInitiatedShutdownBehavior", instance.instance_initiated_shutdown_behavior)
        one = Behind(instance, next(self._public), self._boots.of(self._launched), str(shutdown))
        self._tag_volumes(instance, template)
        for interface in instance.nics.values():
            if interface.public_ip:
                interface.public_ip = one.public
        self._behind[instance.id] = one
        Thread(target=self._boot, args=(one, self._boots, self._going), daemon=True).start()

    def _boot(self, one: Behind, boots: Boots, going: Event) -> None:
        going.wait()
        _wait(boots.starts)
        with self.lock:
            if one.is_over:
                return
            one.instance._state.name, one.instance._state.code = "running", 16  # noqa: SLF001 (as moto does)
        _wait(boots.seconds)
        with self.lock:
            if one.is_over or one.way == "never":
                return
            self._metadata(one.instance.id).write_text(json.dumps(self._readable(one.instance)))
            also = [one.public, METADATA]
            name, address = one.instance.id, str(one.instance.private_ip)
            files = unpacked(self._hosts.folder, one.instance.image_id)
            first = self._first(name, has_python=one.way != "unleashed")
            one.host = self._hosts.add(name, address, also=also, then=[*files, *first])
            if one.way == "silent":
                self._hosts.cut(one.host)

    def _first(self, name: str, *, has_python: bool) -> list[str]:
        """List what a host does first, in words of shell: it has metadata, and runs its user data."""
        words = [program("sshd"), program("ssh-keygen"), *(["has-no-python"] if not has_python else [])]
        log = shlex.quote(str(self._hosts.folder / f"{name}.boot"))
        path = (
            f"{Path(sys.executable).parent}:{PATH}"  # the image has the Python that muster looks for, and its packages
        )
        run = f"HOME=/root PATH={shlex.quote(path)} {shlex.quote(sys.executable)} -P"
        return [
            f"{run} {HERE / 'metadata.py'} {shlex.quote(str(self._metadata(name)))} >> {log} 2>&1 &",
            f"{run} {HERE / 'cloud_init.py'} {' '.join(words)} >> {log} 2>&1 &",
        ]

    def _readable(self, instance: "MotoInstance") -> dict[str, str]:
        """List what the instance can read of itself."""
        told = {
            "/latest/meta-data/instance-id": instance.id,
            "/latest/meta-data/local-ipv4": str(instance.private_ip),
            "/latest/meta-data/placement/availability-zone": str(instance.availability_zone),
        }
        if instance.key_name:
            told["/latest/meta-data/public-keys/0/openssh-key"] = self._backend.key_pairs[instance.key_name].public_key
        if instance.user_data:
            told["/latest/user-data"] = base64.b64decode(str(instance.user_data)).decode()
        return told

    def _watch(self) -> None:
        """See machines power themselves off, for as long as the region is there."""
        while True:
            _wait(0.05)
            for one in list(self._behind.values()):
                if one.host and not one.is_over and not self._hosts.is_up(one.host):
                    self._end(one)

    def _end(self, one: Behind, why: str = BY_ITSELF) -> None:
        """Do with an instance what its shutdown behaviour says."""
        with self.lock:
            if _lives(one.instance):
                one.instance.terminate() if one.shutdown == TERMINATE else one.instance.stop()
                reason = one.instance.state_reason
                reason.message, reason.code = why, why.partition(":")[0]
        self.see()

    def _lose(self, one: Behind) -> None:
        if one.host:
            with suppress(HostsError):
                self._hosts.lose(one.host)

    def _template(self, instance: "MotoInstance") -> dict[str, Any]:
        """Read the launch template of one that was just launched: moto overlooks much of what stands there."""
        tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
        if name := tags.get("aws:ec2launchtemplate:id"):
            version = self._backend.launch_templates[name].get_version(tags["aws:ec2launchtemplate:version"])
            return dict(version.data)
        return {}

    def shutdown_of(self, asked: Mapping[str, str]) -> str:
        """Tell what a request for machines says of those that power themselves off, also by its template."""
        name = asked.get("LaunchTemplate.LaunchTemplateId", "")
        if name not in self._backend.launch_templates:
            return asked.get("InstanceInitiatedShutdownBehavior", "")
        version = self._backend.launch_templates[name].get_version(asked["LaunchTemplate.Version"])
        return str(version.data.get("InstanceInitiatedShutdownBehavior", ""))

    def _tag_volumes(self, instance: "MotoInstance", template: dict[str, Any]) -> None:
        told = [one for one in template.get("TagSpecifications", ()) if one["ResourceType"] == "volume"]
        tags = {tag["Key"]: tag["Value"] for one in told for tag in one["Tags"]}
        for _, device in instance.get_block_device_mapping:
            self._backend.get_volume(device.volume_id).add_tags(tags)

    def _metadata(self, name: str) -> Path:
        return self._hosts.folder / f"{name}.metadata"

    def log_of(self, name: str) -> str:
        """Tell what a machine has written since it was launched."""
        log = self._hosts.folder / f"{name}.boot"
        return log.read_text() if log.exists() else ""

    def _of(self, one: Behind) -> dict[str, Any]:
        return {
            "id": one.instance.id,
            "state": one.instance.state,
            "public": one.public,
            "private": one.instance.private_ip if _lives(one.instance) else "",
            "zone": one.instance.availability_zone,
            "type": one.instance.instance_type,
            "is_spot": one.instance.lifecycle == "spot",
            "tags": {tag["key"]: tag["value"] for tag in one.instance.get_tags()},
            "log": self.log_of(one.instance.id),
            "root": self._root(one),
            "lived": (one.ended or monotonic()) - one.launched,
        }

    def _root(self, one: Behind) -> str:
        with suppress(HostsError):
            return str(self._hosts.inside(one.host, "/")) if one.host and not one.is_over else ""
        return ""


def _lives(instance: "MotoInstance") -> bool:
    return instance.state in {"pending", "running"}


def _wait(seconds: float) -> None:
    """Sleep, and take nothing of the processor meanwhile: a region watches for as long as there are tests."""
    Event().wait(seconds)
