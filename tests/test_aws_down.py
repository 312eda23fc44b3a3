"""A cluster of AWS is ended by what its own notes and its tags tell, also where its file, Pulumi or a login fails."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aws.leftovers import make
from aws.region import NAME, Region
from conftest import Muster
from muster._clouds.aws.blueprint import Made
from muster._clouds.aws.leases import GRACE_SECONDS
from muster._clouds.aws.note import begun, recalled, remember
from muster._clouds.aws.renewals import note_renewed
from muster._clouds.aws.rentals import Rental
from muster._clouds.aws.settings import Settings
from muster._clouds.base import Wanted
from muster._clouds.by_name import known_cloud
from muster._clouds.hosts import HostsCloud
from muster._clouds.over_ssh import record
from muster._clouds.over_ssh.inventory import Host
from muster._files import notes
from muster.errors import UsageError

pytestmark = pytest.mark.waits("together")
pytest.importorskip("pulumi_aws")


@pytest.fixture
def folder(home: Path) -> Path:
    path = home / "clusters" / "big"
    path.mkdir(parents=True)
    return path


def noted(folder: Path, region: Region, *, on: str = "aws", machines: int = 2, **besides: Any) -> None:  # noqa: ANN401
    """Have a cluster as a killed command leaves it: noted, and made as its tags tell, but unknown to Pulumi."""

    notes.write(folder / "cluster.json", {"on": on}, durable=True)
    note = replace(begun(Settings(), NAME, Wanted(machines, 2, 900.0)), begun=1.0, **besides)
    remember(folder, note)
    region.boots(way="never")
    make(region, folder.name, owner=note.owner, machines=machines, id=note.id)


@pytest.mark.parametrize("text", ["hosts: [{address: 10.0.0.1}]", "aws: {", "aws: {colour: red}"])
def test_whatever_the_file_says_by_now_machines_of_aws_are_ended(
    region: Region, muster: Muster, folder: Path, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "a.yml"
    file.write_text(text)
    noted(folder, region, on=str(file))
    end = muster("up", "big", "--machines", "3")
    assert (end.code, len(region.living())) == (2, 2), end.err
    assert ("muster down" in end.err) == ("aws:" not in text), end.err
    end = muster("down", "big")
    assert (end.code, "nothing else of the cluster" in end.out, region.living()) == (0, True, []), end.err
    assert not folder.exists()


@pytest.mark.parametrize("text", ["aws: {}", "hosts: ["])
def test_whatever_the_file_says_by_now_a_cluster_of_hosts_is_one_of_hosts(
    folder: Path, tmp_path: Path, text: str
) -> None:

    file = tmp_path / "a.yml"
    file.write_text(text)
    record.remember(folder, record.ClusterRecord())
    cloud = known_cloud(str(file), folder)
    assert isinstance(cloud, HostsCloud)
    with pytest.raises(UsageError, match="its cluster is of hosts" if "aws" in text else "is not YAML"):
        cloud.census()
    assert cloud.destroy() == []


def test_a_down_needs_nothing_of_pulumi_and_counts_what_an_interrupted_command_has_made(
    region: Region, muster: Muster, folder: Path
) -> None:
    noted(folder, region, is_unsure=True)
    known = folder / "pulumi" / "state" / ".pulumi" / "stacks" / "muster" / "big.json"
    known.parent.mkdir(parents=True)
    known.write_text("{}")  # and the passphrase is lost
    end = muster("down", "big")
    assert end.code == 0, end.err
    assert "2 machines made, 2 ended, 0 left" in end.out
    assert "$0.00 since they were asked for" in end.out
    assert region.living() == []


@pytest.mark.parametrize("is_there", [False, True])
def test_a_down_needs_no_bucket_that_pulumis_state_lay_in_and_says_where_that_is_left(
    region: Region, muster: Muster, folder: Path, *, is_there: bool
) -> None:
    noted(folder, region, settings=Settings(state="s3://states"))
    if is_there:
        region.client("s3").create_bucket(Bucket="states", CreateBucketConfiguration={"LocationConstraint": NAME})
        region.refuse("ListBucket", "AccessDenied", "Access Denied", status=403)
    end = muster("down", "big")
    assert (end.code, "2 machines made, 2 ended, 0 left" in end.out, region.living()) == (0, True, []), end.err
    assert ("state of the cluster, of which nothing else is left, could not be removed" in end.out) == is_there
    assert not folder.exists()


def test_a_down_bills_a_machine_that_ended_long_before_until_its_lease_was_over_at_the_most(
    region: Region, muster: Muster, folder: Path
) -> None:
    now = time.time()
    noted(folder, region, rentals={"i-gone": Rental(3.6, now - 3000)})
    note_renewed(folder, ["i-gone"], lease=-1000 - GRACE_SECONDS)  # it was over so long ago
    end = muster("down", "big")
    assert "at most $2.00 since they were asked for" in end.out, end.err


def test_a_down_without_a_login_asks_machines_over_ssh_to_stop_and_says_so(
    region: Region, muster: Muster, folder: Path
) -> None:
    noted(folder, region)
    host = Host("m1", outside="127.0.0.1", port=1, ssh_config="none")
    record.remember(
        folder, record.ClusterRecord("id", lease=900.0, started=(record.StartedHost(host, "/nowhere", 1, {}),))
    )
    region.knows_credentials_no_more()
    end = muster("down", "big")
    assert (end.code, "Log in again" in end.err, "asked over SSH to stop" in end.err) == (3, True, True), end.err
    asked = record.recalled(folder)
    assert asked
    assert [one.machine.host.name for one in asked.leaving] == ["m1"]
    region.mend()
    assert muster("down", "big").code == 0
    assert region.living() == []


def test_status_tells_of_what_was_made_and_does_not_work_and_of_what_may_have_been_made(
    region: Region, muster: Muster, folder: Path
) -> None:
    noted(folder, region, made={"m1": Made("i-1", "203.0.113.9", "10.9.9.9", "m7i.large")})
    shown = muster("status").out
    assert ("m1: it was made, and does not work yet" in shown, "AWS: " in shown) == (True, False)
    note = recalled(folder)
    assert note
    remember(folder, replace(note, made={}, is_unsure=True))
    shown = muster("status").out
    assert ("AWS: machines were asked for" in shown, "have ended" in shown) == (True, False)
