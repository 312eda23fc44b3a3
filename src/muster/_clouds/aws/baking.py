"""Makes an image: a machine is made for that, gets all that machines need, and ends once the image is whole.

The machine is a cluster's like any other: it has a lease, bears tags, and stands in a folder from which a killed build
is ended. It never starts Ray.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Final

from muster._clouds.asked import RentalFlags
from muster._clouds.base import Wanted
from muster._clouds.over_ssh import requirements, ssh
from muster._clouds.over_ssh.equipping import Equipping
from muster._clouds.over_ssh.inventory import Host
from muster._clouds.over_ssh.record import ClusterRecord
from muster._clouds.over_ssh.touching import run_on_each
from muster._clouds.renewing import renewing
from muster._version import __version__
from muster._words import plural
from muster.errors import EngineError

from . import booting, images, remains, tools
from .asking import Client, asking, client, region_of
from .choosing import places, ssh_from
from .cloud import AwsCloud
from .leases import tell_renewed
from .making import Making
from .note import begun, remember
from .placement import Placement
from .preview import otherwise, together
from .reached import hosts_of, write_host_keys
from .renewals import note_renewed
from .settings import Settings, settings_in
from .states import check_state
from .user_data import FIRST_LEASE

_LEASE: Final = 900.0
"""A quarter of an hour, as a cluster has: it is renewed for as long as the image is made."""

_LAST_LEASE: Final = 3600.0
"""From when nobody can log in any more: AWS copies a small disk within minutes, a large one in half an hour."""

_CLEAN_SECONDS: Final = 60.0
"""A few files are removed there, and the disk is written: seconds, where the machine is well."""

_PAUSE_SECONDS: Final = 2.0
"""An image takes minutes, and each question counts against the account's rate."""

_MACHINE: Final = "m1"
_NO_IMAGE: Final = {"failed", "error", "deregistered", "invalid"}

# What the next machine must not have: who may log in here, what cloud-init was told (the host key is in that), and that
# it has run already. Then nothing is to be written that is not on the disk: it is copied as it is.
_CLEAN: Final = f"""
echo {_LAST_LEASE:g} > {FIRST_LEASE} || exit
rm -rf /root/.cache
if command -v cloud-init > /dev/null; then
    cloud-init clean --logs --machine-id || cloud-init clean --logs || exit
fi
rm -f /home/*/.ssh/authorized_keys /root/.ssh/authorized_keys
test ! -e /root/.ssh/authorized_keys && sync
"""


class _NoImageError(EngineError):
    """Say that nothing comes of an image that AWS was asked for."""


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """What an image is to hold, and where the machine for it can be made."""

    settings: Settings
    region: str
    places: tuple[Placement, ...]
    digest: str
    there: images.Image | None
    """The one that is there already."""
    coming: images.Image | None
    """The one that AWS copies still, for another build, which may have been killed: it is whole soon, and has all."""

    @property
    def cluster(self) -> str:
        """Name the cluster of which the machine is."""
        return f"image-{self.digest[:8]}"

    @property
    def preview(self) -> str:
        """Say what is made, and what it costs."""
        note = begun(self.settings, self.region, Wanted(1, 1, _LEASE))
        number = len(requirements.packages(self.settings.packages))
        return (
            f"AWS, {self.region}: 1 machine ({self.places[0]}), {together(note, self.places[0], 1)}, until the image is"
            f" made, which takes minutes; muster {__version__}, {self.settings.python} and"
            f" {plural(number, 'package')} are installed on it.{otherwise(note, self.places, 1)} The image's snapshot"
            " then costs about $0.05 a month for each GB that is written, until muster image delete."
        )


def planned(file: Path | None, asked: RentalFlags) -> ImagePlan:
    """Look up what an image would be made of; nothing is made. Raises ``UsageError``, ``EngineError``."""
    settings = (settings_in(file) if file else Settings()).but(asked)
    settings = replace(settings, is_spot=False)  # one that is taken away costs more than it saves
    tools.found_command()
    region = region_of(settings.region)
    check_state(settings.state, region)
    found = places(region, settings, has_all=False)
    ours, architecture = images.listed(client("ec2", region)), found[0].architecture
    return ImagePlan(
        settings,
        region,
        tuple(found),
        images.digest_of(settings, architecture),
        there=images.fitting(ours, settings, architecture),
        coming=images.fitting(ours, settings, architecture, state=images.PENDING),
    )


def awaited(plan: ImagePlan) -> images.Image | None:
    """Wait for the image that comes of another build; ``None`` where none does. Raises ``EngineError``."""
    if plan.coming is None:
        return None
    try:
        return _awaited(client("ec2", plan.region), plan.coming.id)
    except _NoImageError:  # then another is made, and muster image list shows this one
        return None


def bake(plan: ImagePlan, folder: Path, *, say: Callable[[str], None]) -> images.Image:
    """Make the image in a cluster's folder; whoever calls this ends the cluster then. Raises ``EngineError``."""
    note = begun(plan.settings, plan.region, Wanted(1, 1, _LEASE))
    note = replace(note, ssh_from=ssh_from(plan.places[0], plan.region, plan.settings), is_for_image=True)
    making = Making(folder, remember(folder, note))
    with renewing(AwsCloud(folder, None, asked=RentalFlags()), lease=lambda: _LEASE):
        say("making a machine")
        making.make([_MACHINE], plan.places)
        (host,) = hosts_of(folder, making.note, making.note.made)
        write_host_keys(folder, [host])
        booting.await_ready(making, [host])
        say("installing what machines need")
        needed = Equipping(folder, requirements.packages(plan.settings.packages))
        needed.equipped([host], ClusterRecord().begun(), workers=1, ours=())
    _clean(making, host, say=say)
    say("making an image of it")
    return _imaged(making)


def _clean(making: Making, host: Host, *, say: Callable[[str], None]) -> None:
    """Leave nothing on the disk that is of this machine alone. Nobody can log in then: its lease has to suffice."""
    why = run_on_each({host.name: ssh.command(host, _CLEAN)}, seconds=_CLEAN_SECONDS)[host.name]
    if why:
        raise EngineError(f"The machine could not be made ready for an image: {why} Type the command again.")
    instances = [making.note.made[_MACHINE].instance]
    note_renewed(making.folder, instances, lease=_LAST_LEASE)
    if remark := tell_renewed(making.note.region, instances, lease=_LAST_LEASE):
        say(remark)


def _imaged(making: Making) -> images.Image:
    """Have AWS copy the disk, and wait until it has.

    The machine is not restarted for that, as AWS does unless told otherwise: its leash would take that for its end.
    """
    place, settings, ec2 = making.note.place, making.note.settings, client("ec2", making.note.region)
    digest = images.digest_of(settings, place.architecture if place else "")
    tags = {**making.note.tags(making.folder), **images.tags_of(settings, digest), "Name": f"muster-{digest}"}
    told = [{"Key": name, "Value": value} for name, value in tags.items()]
    with asking():
        name = ec2.create_image(
            InstanceId=making.note.made[_MACHINE].instance,
            Name=f"muster-{digest}-{secrets.token_hex(4)}",
            Description=f"muster {__version__}, {settings.python}, and the packages that machines need",
            NoReboot=True,
            TagSpecifications=[{"ResourceType": kind, "Tags": told} for kind in (remains.IMAGE, remains.SNAPSHOT)],
        )["ImageId"]
    return _awaited(ec2, str(name))


def _awaited(ec2: Client, name: str) -> images.Image:
    begun_at = monotonic()
    while monotonic() < begun_at + _LAST_LEASE:
        found = images.listed(ec2, image_id=name)
        if found and found[0].state == images.AVAILABLE:
            return found[0]
        is_lost = not found and monotonic() > begun_at + remains.LATE_SECONDS
        if is_lost or (found and found[0].state in _NO_IMAGE):
            why = found[0].why or found[0].state if found else "it is there no more"
            raise _NoImageError(f"AWS could not make image {name}: {why}. Type the command again.")
        Event().wait(_PAUSE_SECONDS)
    raise EngineError(
        f"Image {name} is not whole after {_LAST_LEASE / 60:g} min, and its machine ends. muster image list shows what"
        " becomes of it."
    )
