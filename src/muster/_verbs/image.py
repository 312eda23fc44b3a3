"""``muster image``: images of machines on AWS in which all is installed."""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from muster._clouds.asked import RentalFlags
from muster._show.tables import in_columns
from muster._words import duration, plural
from muster.errors import EngineError, UsageError

from . import _rented
from ._answer import tell
from ._consent import consents
from ._parser import Parser

if TYPE_CHECKING:
    from muster._clouds.aws.images import Image
    from muster._clouds.clusters import Cluster

_IS_THERE: Final = "{0} has all that is installed here: muster up uses it already, and nothing was made."
_IS_MADE: Final = "{0} is made: muster up and muster run use it from now on. muster image delete {0} removes it."
_HEADS: Final = ("IMAGE", "STATE", "AGE", "DISK", "FOR", "HOLDS", "USED BY UP")


def add(verb: Parser) -> None:
    verb.set_defaults(
        call=call, what_now="A machine may still live, until its lease ends: type the same command again."
    )
    verb.description = (
        "Machines of AWS install muster, Python and packages when they are made, which takes a minute or more. An image"
        " holds all that already: build makes one, on a machine that is made for that and ended then, and muster up and"
        " muster run use it from then on. It is used for exactly what it holds: another version of muster, of Python or"
        " of a package here, other packages: in the file of --on, and machines install again, until you build another."
    )
    verb.epilog = "exit codes: 0 done; 2 the command was wrong; 3 AWS or the machine failed"
    verb.examples = (
        ("muster image build", "make an image of what is installed here; tells the price first"),
        ("muster image build --on aws.yml", "with the packages and the region that a file says"),
        ("muster image list", "show the images, and which of them muster up uses now"),
        ("muster image delete --unused", "remove those that it does not use"),
    )
    add = verb.add_argument
    add("action", choices=["build", "list", "delete"], metavar="ACTION", help="build, list or delete")
    add("images", nargs="*", metavar="IMAGE", help="with delete: which, such as ami-0123456789abcdef0")
    add("--on", default="aws", metavar="CLOUD", help="aws, or a YAML file with aws: (default: aws)")
    add("--region", default="", metavar="REGION", help="such as eu-central-1 (default: that of AWS' own tools)")
    add(
        "--instance-type",
        type=_rented.types,
        default=(),
        metavar="TYPE,...",
        help="the machine that it is made on; an image is for types of that architecture (default: as up has it)",
    )
    add("--unused", action="store_true", help="with delete: all that muster up with this --on does not use")
    add("--all", action="store_true", help="with delete: all of yours in the region")
    add("--yes", action="store_true", help="build or delete without a question; it is asked on a terminal alone")
    add("--json", action="store_true", help="print the images, or the one that was made, as JSON")


def call(parsed: argparse.Namespace) -> int:
    """Return the exit code."""
    from muster._clouds.aws.tools import check_installed

    chosen = [*parsed.images, *(["--unused"] if parsed.unused else []), *(["--all"] if parsed.all else [])]
    if parsed.action != "delete" and chosen:
        raise UsageError(f"{chosen[0]} is about muster image delete. Leave it out.")
    check_installed()
    asked = RentalFlags(region=parsed.region, types=parsed.instance_type)
    if parsed.action == "build":
        return _build(parsed, asked)
    parsed.what_now = "Type the same command again."
    return _list(parsed, asked) if parsed.action == "list" else _delete(parsed, asked)


def _build(parsed: argparse.Namespace, asked: RentalFlags) -> int:
    from muster._clouds.aws import baking
    from muster._clouds.clusters import Cluster

    plan = baking.planned(_file(parsed.on), asked)
    cluster, said = Cluster(plan.cluster), _IS_MADE
    if plan.coming is not None:
        _rented.tell(f"AWS copies {plan.coming.id} still, for another build: waiting until it has")
    if plan.there is not None:
        said = _IS_THERE
    if (image := plan.there or baking.awaited(plan)) is not None:
        ended = _left_by_a_killed_build(cluster)
    else:
        _rented.tell(plan.preview)
        _rented.check_consent(parsed, "Make this?")
        with cluster.lent("aws") as (folder, ended):
            image = baking.bake(plan, folder, say=_rented.tell)
    for line in ended:
        print(line, file=sys.stderr)
    tell(json.dumps(_shown(image, is_used=True)) if parsed.json else said.format(image.id))
    return 0


def _left_by_a_killed_build(cluster: "Cluster") -> Sequence[str]:
    """End what there is of a build that made the image and was killed; one that is at it does so itself."""
    try:
        return cluster.down() or ()
    except UsageError:
        return ()


def _list(parsed: argparse.Namespace, asked: RentalFlags) -> int:
    found, used = _found(parsed, asked)
    shown = [_shown(one, is_used=one.id in used) for one in found]
    if parsed.json:
        tell(json.dumps(shown))
    elif shown:
        tell(in_columns(_HEADS, *map(_cells, shown)))
    else:
        tell("There is no image of yours. Make one with muster image build.")
    return 0


def _delete(parsed: argparse.Namespace, asked: RentalFlags) -> int:
    from muster._clouds.aws import remains
    from muster._clouds.aws.asking import client

    found, used = _found(parsed, asked)
    doomed = _doomed(parsed, found, used)
    if not doomed:
        tell("There is no such image: nothing was removed.")
        return 0
    names = ", ".join(one.id for one in doomed)
    if not consents(f"Remove {plural(len(doomed), 'image')} ({names}) with what they hold?", yes=parsed.yes):
        tell("Nothing was removed.")
        return 0
    things = [thing for one in doomed for thing in one.remains]
    if failed := remains.remove(client("ec2", _region(parsed, asked)), things):
        told = "\n".join(f"  {name}: {why}" for name, why in failed.items())
        raise EngineError(f"Not all could be removed:\n{told}\nMend that, then type the same command again.")
    tell(f"Removed: {names}")
    return 0


def _doomed(parsed: argparse.Namespace, found: Sequence["Image"], used: frozenset[str]) -> list["Image"]:
    if sum([bool(parsed.images), parsed.unused, parsed.all]) != 1:
        raise UsageError("Say which images: by their names, such as ami-0123456789abcdef0, or --unused, or --all.")
    if odd := [name for name in parsed.images if name not in {one.id for one in found}]:
        there = ", ".join(one.id for one in found) or "none"
        raise UsageError(f"There is no image {odd[0]!r} of yours. There are: {there}. muster image list shows them.")
    return [one for one in found if parsed.all or one.id in parsed.images or (parsed.unused and one.id not in used)]


def _found(parsed: argparse.Namespace, asked: RentalFlags) -> tuple[list["Image"], frozenset[str]]:
    """List the images, and name those that ``up`` would use here, one for each architecture."""
    from muster._clouds.aws import images
    from muster._clouds.aws.asking import client

    found = images.listed(client("ec2", _region(parsed, asked)))
    settings = _settings(parsed, asked)
    fitting = (images.fitting(found, settings, kind) for kind in {one.architecture for one in found})
    return found, frozenset(one.id for one in fitting if one)


def _region(parsed: argparse.Namespace, asked: RentalFlags) -> str:
    from muster._clouds.aws.asking import region_of

    return region_of(_settings(parsed, asked).region)


def _settings(parsed: argparse.Namespace, asked: RentalFlags) -> Any:  # noqa: ANN401 (its module is loaded only here)
    from muster._clouds.aws.settings import Settings, settings_in

    file = _file(parsed.on)
    return (settings_in(file) if file else Settings()).but(asked)


def _file(on: str) -> Path | None:
    if on == "aws":
        return None
    if not on.endswith((".yml", ".yaml")):
        raise UsageError(f"--on {on}: images are made on aws, or as a YAML file with aws: says. Type --on aws.")
    return Path(on)


def _shown(one: "Image", *, is_used: bool) -> dict[str, Any]:
    from muster._clouds.aws import images

    return {
        "image": one.id,
        "state": one.state,
        "since": one.since,
        "disk": one.disk,
        "architecture": one.architecture,
        "digest": one.digest,
        "muster": one.tags.get(images.VERSION, ""),
        "python": one.tags.get(images.PYTHON, ""),
        "packages": int(number) if (number := one.tags.get(images.PACKAGES, "")).isdigit() else None,
        "is_used": is_used,
    }


def _cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    packages = "" if one["packages"] is None else f", {plural(one['packages'], 'package')}"
    return (
        one["image"],
        one["state"],
        duration(max(0.0, time.time() - datetime.fromisoformat(one["since"]).timestamp())) if one["since"] else "?",
        f"{one['disk']} GiB",
        one["architecture"],
        f"muster {one['muster']}, {one['python']}{packages}",
        "yes" if one["is_used"] else "no",
    )
