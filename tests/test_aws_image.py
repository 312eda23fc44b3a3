"""``muster image``: a machine gets all that machines need, an image is made of it, and machines are made from that."""

import json
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from aws.clusters import require_pulumi
from aws.leftovers import UBUNTU, tagged
from aws.region import NAME, Region
from conftest import Muster, begun
from hosts import interpreter_in
from muster._clouds.aws import images
from muster._clouds.aws.asking import client
from muster._clouds.aws.note import owner
from muster._clouds.aws.remains import look
from muster._clouds.aws.settings import Settings
from waiting import until

pytestmark = pytest.mark.waits("long", "together")
ENVIRONMENTS = "root/.muster/environments"


@pytest.fixture
def aws(region: Region, monkeypatch: pytest.MonkeyPatch) -> Region:
    """A region that Pulumi's engine makes machines in."""
    require_pulumi()
    monkeypatch.setenv("PULUMI_DEBUG_PROVIDERS", f"aws:{region.provider()}")
    return region


@pytest.fixture
def bare() -> Iterator[str]:
    """An interpreter that machines see, with all packages of this one, and another muster."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        folder = Path(place)
        site = interpreter_in(folder)
        (site / "muster").mkdir()
        (site / "muster" / "__init__.py").touch()
        yield str(folder / "python" / "bin" / "python")


def launched_from(region: Region) -> list[str]:
    """Name the image of each machine that muster has asked for."""
    asked = region.asked()
    return [one["ImageId"] for one in asked if one["Action"] == "RunInstances" and "DryRun" not in one]


def copied(region: Region) -> int:
    """Count the images that were asked for."""
    return sum(one["Action"] == "CreateImage" for one in region.asked())


def test_an_image_has_what_is_installed_up_uses_it_and_the_machine_that_it_was_made_on_is_gone_also_of_a_killed_build(
    aws: Region, muster: Muster, tmp_path: Path, bare: str
) -> None:
    file = tmp_path / "aws.yml"
    file.write_text(yaml.safe_dump({"aws": {"python": bare}}))
    aws.boots(way="silent")
    with begun(tmp_path, "image", "build", "--on", str(file)) as half:
        until(lambda: aws.living() or half.poll() is not None)
        (lost,) = aws.living()
        half.send_signal(signal.SIGKILL)
    assert lost.tags["muster:lease"] == "900"
    assert lost.tags["muster:cluster"].startswith("image-")

    shown = muster("status").out
    assert ("the same muster image build ends it" in shown, "muster up" in shown) == (True, False)
    end = muster("up", lost.tags["muster:cluster"], "--machines", "1")
    assert (end.code, "is a machine that muster image build has made" in end.err) == (2, True), end.err

    aws.boots()
    with begun(tmp_path, "image", "build", "--on", str(file)) as half:
        until(lambda: copied(aws) or half.poll() is not None, seconds=300)
        half.send_signal(signal.SIGKILL)
        _, err = half.communicate()
    assert "until the image is made" in err
    assert "$0.2222 an hour (AWS, now)" in err
    assert "about $0.05 a month for each GB" in err
    assert len(aws.living()) == 1
    end = muster("image", "build", "--on", str(file), "--json")
    assert (end.code, copied(aws)) == (0, 1), end.err
    assert (aws.living(), len(aws.instances())) == ([], 2)
    image = end.json["image"]
    assert muster("image", "build", "--on", str(file)).out.startswith(f"{image} has all")
    ((told, others),) = ((one, rest) for one, *rest in [json.loads(muster("image", "list", "--json").out)])
    assert (told["image"], told["is_used"], others) == (image, False, [])  # of another interpreter than the default
    (told,) = json.loads(muster("image", "list", "--json", "--on", str(file)).out)
    assert (told["is_used"], told["state"], told["python"]) == (True, "available", bare)

    began = time.time()
    end = muster("up", "--machines", "1", "--on", str(file))
    assert end.code == 0, end.err
    assert f"with all installed, from {image}" in end.err
    assert launched_from(aws)[-1] == image
    (one,) = aws.living()
    (environment,) = Path(one.root, ENVIRONMENTS).glob("?" * 16)
    assert (environment / "pyvenv.cfg").stat().st_mtime < began
    assert not Path(one.root, "root/.ssh/authorized_keys").read_text().count("ssh-ed25519") > 1

    end = muster("image", "delete", "--unused", "--yes")
    assert end.out.startswith(f"Removed: {image}"), end.err
    left = look(client("ec2", NAME), owner(), with_images=True)
    assert not {one.kind for one in left} & {"image", "snapshot"}


def test_an_image_of_other_packages_or_another_python_or_of_somebody_else_is_not_used(region: Region) -> None:
    ec2, settings = region.client("ec2"), Settings()
    name = region.client("ssm").get_parameter(Name=UBUNTU)["Parameter"]["Value"]
    region.boots(way="never")
    ec2.run_instances(MinCount=1, MaxCount=1, ImageId=name, InstanceType="m7i.large")
    until(lambda: [one.state for one in region.living()] == ["running"])  # AWS makes an image of no other
    (one,) = region.living()
    digest = images.digest_of(settings, "x86_64")
    for at, (who, what) in enumerate([("you@there", digest), (owner(), "0" * 16), (owner(), digest)]):
        tags = tagged("image", owner=who, cluster="image-1", image=what)
        ec2.create_image(InstanceId=one.id, Name=f"muster-{at}", TagSpecifications=tags)
    asking = client("ec2", NAME)
    until(lambda: all(image.state == images.AVAILABLE for image in images.listed(asking)))
    found = images.listed(asking)
    assert images.fitting([replace(image, state="pending") for image in found], settings, "x86_64") is None
    pending = [replace(image, state=images.PENDING) for image in found]
    assert images.fitting(pending, settings, "x86_64", state=images.PENDING)
    assert {image.digest for image in found} == {digest, "0" * 16}
    fitting = images.fitting(found, settings, "x86_64")
    assert fitting
    assert fitting.digest == digest
    assert images.fitting(found, settings, "arm64") is None
    for other in (Settings(packages=("pytest",)), Settings(python="python3.99"), Settings(image="ami-1")):
        assert images.fitting(found, other, "x86_64") is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("list", "--all"), "--all is about muster image delete"),
        (("delete",), "Say which images"),
        (("delete", "ami-1"), "There is no image 'ami-1' of yours. There are: none"),
        (("build", "--on", "local"), "images are made on aws"),
    ],
)
@pytest.mark.usefixtures("region")
def test_a_wrong_command_is_said(muster: Muster, words: tuple[str, ...], said: str) -> None:
    end = muster("image", *words)
    assert (end.code, said in end.err) == (2, True), end.err
