"""Clusters of AWS as commands make them: a pretended region, with Pulumi's real engine, Ansible, SSH and Ray."""

import hashlib
import json
import os
import pty
import re
import select
import signal
import tarfile
import time
from dataclasses import replace
from datetime import datetime
from math import inf
from pathlib import Path
from random import Random, randrange
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from aws.clusters import TAG, require_pulumi
from aws.leftovers import make
from aws.region import NAME, USER, Region
from aws.told import LISTED
from conftest import MUSTER, Ended, Muster, begun
from muster._clouds.asked import RentalFlags
from muster._clouds.aws import note as note_of
from muster._clouds.aws.cloud import AwsCloud
from muster._clouds.aws.leases import RENEWED
from muster._clouds.aws.settings import Settings
from muster._clouds.aws.user_data import NOTICE, user_data
from muster._clouds.base import Wanted
from muster._files import notes
from test_make import made
from waiting import until

if TYPE_CHECKING:
    import subprocess

pytestmark = pytest.mark.waits("long", "together")
SECONDS = 240.0
KILLED = 20
LEASE = 30.0
SLACK = 20.0
"""A machine boots, ends some seconds later than its lease, and is seen to end later still where all is busy."""


@pytest.fixture(scope="module")
def provider(aws_served: Region) -> str:
    require_pulumi()
    return f"aws:{aws_served.provider()}"


@pytest.fixture
def aws(region: Region, provider: str, monkeypatch: pytest.MonkeyPatch) -> Region:
    monkeypatch.setenv("PULUMI_DEBUG_PROVIDERS", provider)
    return region


def left(region: Region) -> list[str]:
    """List all that bears a tag of muster's and is there, as nobody's record knows it."""
    ec2, ours = region.client("ec2"), [{"Name": "tag-key", "Values": [TAG]}]
    kinds = {"security_groups": "GroupId", "key_pairs": "KeyName", "launch_templates": "LaunchTemplateName"}
    return [
        *(one.id for one in region.living()),
        *(one["VolumeId"] for one in ec2.describe_volumes(Filters=ours)["Volumes"]),
        *(
            one[name]
            for kind, name in kinds.items()
            for one in getattr(ec2, f"describe_{kind}")(Filters=ours)[kind.title().replace("_", "")]
        ),
    ]


def machines(muster: Muster) -> list[dict[str, Any]]:
    (status,) = json.loads(muster("status", "--json").out)
    found: list[dict[str, Any]] = status["machines"]
    return found


def launched(region: Region, *, key: str = "") -> int:
    """Count the requests for machines, of whoever has that key."""
    return sum(one["Action"] == "RunInstances" and one["key"].startswith(key) for one in region.asked())


def right(end: Ended) -> Ended:
    assert end.code == 0, end.err
    return end


APP = """
import muster

def longest(df):
    return df.assign(n=len(df)).nlargest(2, "seconds")

def running(df, states):
    totals = []
    for user, seconds in zip(df["user"], df["seconds"]):
        states[user] += seconds
        totals.append(states[user])
    return df.assign(total=totals)

def of_page(df):
    return df.head(1).assign(users=df["user"].nunique())

clicks = muster.read_csv("clicks.csv")
groups = clicks.group_by("user").map_groups(longest).group_by("page").map_groups(of_page).write_csv("groups.csv")
states = clicks.key_by("user").map_batches(running, state=float).write_csv("states.csv")
"""
SLOW = """
import os, time
def slow(df):
    time.sleep(0 if os.path.exists("/run/go") else 0.1)
    return df
"""


def test_the_line_of_the_seed_and_groups_and_states_on_a_cluster_that_is_resized_while_it_works_and_then_gone(
    aws: Region, muster: Muster, tmp_path: Path
) -> None:
    made(tmp_path, *("up", "run-cluster", "get-results"), *LINE, seconds=SECONDS)
    with tarfile.open(tmp_path / "output" / "results.tgz") as results:
        rows = results.extractfile("classified.csv")
        assert rows
        on_aws = rows.read()
    classify = ("run", "examples/classify.py:classify", "output/rows.csv", "--dtype", "str")
    right(muster(*classify, "-o", "cores.csv", "--workers", "0"))
    assert on_aws == (tmp_path / "cores.csv").read_bytes()
    (first,) = aws.living()
    (head,) = machines(muster)
    assert (head["address"], head["workers"], first.tags["muster:lease"]) == (first.private, 2, "900")
    renewed = datetime.fromisoformat(first.tags[RENEWED])
    assert time.time() - SECONDS < renewed.timestamp() <= time.time()

    (tmp_path / "work.py").write_text(SLOW)
    (tmp_path / "rows.csv").write_text("a\n" + "".join(f"{number}\n" for number in range(20_000)))
    work = ("run", "work.py:slow", "rows.csv", "-o", "out.csv", "--batch-rows", "10", "--cluster", "default", "--json")
    with begun(tmp_path, *work) as working:
        until(lambda: "m1" in machines_at_work(tmp_path) or working.poll() is not None)
        right(muster("up", "--machines", "2"))
        until(lambda: "m2" in machines_at_work(tmp_path) or working.poll() is not None)
        until(lambda: told_of(tmp_path, "kept") or working.poll() is not None)
        working.send_signal(signal.SIGKILL)
    for one in aws.living():
        Path(one.root, "run", "go").touch()
    end = right(muster(*work))
    assert (end.json["machines"], end.json["resumed_parts"] > 0) == (2, True), end.out
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "rows.csv").read_bytes()
    assert ([one["name"] for one in machines(muster)], len(aws.living())) == (["m1", "m2"], 2)
    before = len(aws.asked())
    assert "resources" not in right(muster("up", "--machines", "2")).err
    changed = [one["Action"] for one in aws.asked()[before:] if not one["Action"].startswith(("Describe", "Get"))]
    assert set(changed) == {"CreateTags"}  # the lease is renewed

    (tmp_path / "app.py").write_text(APP)
    clicks = [f"{at * 7 % 31},/p/{at % 5},{at * 13 % 997 / 1000}\n" for at in range(3_000)]
    (tmp_path / "clicks.csv").write_text("user,page,seconds\n" + "".join(clicks))
    for name in ("groups", "states"):
        right(muster("run", f"app.py:{name}", "--workers", "0"))
        expected = (tmp_path / f"{name}.csv").read_bytes()
        (tmp_path / f"{name}.csv").unlink()
        right(muster("run", f"app.py:{name}", "--cluster", "default", "--fresh"))
        assert (tmp_path / f"{name}.csv").read_bytes() == expected

    aws.lose(next(one for one in aws.living() if one.id != first.id))
    right(muster("up", "--machines", "1"))
    assert ([one["name"] for one in machines(muster)], [one.id for one in aws.living()]) == (["m1"], [first.id])
    said = made(tmp_path, "down", *LINE, seconds=SECONDS)
    assert re.search(
        r"2 machines made, 2 ended \(1 of them earlier\), 0 left, .*; \$0\.\d\d since they were asked", said
    )
    assert left(aws) == []


LINE = ("INPUT_LINES=500", "CLUSTER_SIZE=1", "ON=aws")


def machines_at_work(folder: Path) -> set[str]:
    """Name the machines whose workers do tasks of a run."""
    return {one["machine"] for one in told_of(folder, "joined")}


def told_of(folder: Path, event: str) -> list[dict[str, Any]]:
    """Read from the journal of the run what it tells of that kind."""
    journal = folder / "out.csv.muster" / "journal.jsonl"
    lines = journal.read_text().splitlines() if journal.exists() else []
    return [told for line in lines if line.endswith("}") and (told := json.loads(line))["event"] == event]


def test_a_run_calls_up_machines_of_aws_and_dismisses_them_and_its_output_is_that_of_cores(
    aws: Region, muster: Muster, tmp_path: Path, home: Path
) -> None:
    (tmp_path / "work.py").write_text("def work(df):\n    df['b'] = df['a'] * 2\n    return df\n")
    (tmp_path / "rows.csv").write_text("a\n" + "".join(f"{number}\n" for number in range(20_000)))
    right(muster("run", "work.py:work", "rows.csv", "-o", "cores.csv", "--workers", "2"))
    told = right(
        muster(*("run", "work.py:work", "rows.csv", "-o", "aws.csv", "--json"), "--machines", "2", "--on", "aws")
    )
    assert (launched(aws), told.json["rows_out"]) == (2, 20_000)
    assert 0 < told.json["cost"] <= 2 * float(LISTED["m7i.large"]) * told.json["seconds"] / 3600 + 0.0001
    assert "2 machines (m7i.large" in told.err
    assert re.search(r"2 machines made, 2 ended, 0 left, .*; \$0\.\d\d since they were asked for", told.err)
    digests = [hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("cores.csv", "aws.csv")]
    assert digests[0] == digests[1]
    assert left(aws) == []
    assert not list((home / "clusters").glob("*"))


@pytest.mark.parametrize(
    "words",
    [
        ("up", "--machines", "2", "--on", "aws"),
        ("run", "work.py:work", "rows.csv", "-o", "o.csv", "--machines", "2", "--on", "aws"),
        ("image", "build"),
    ],
    ids=lambda words: words[0],
)
def test_whoever_says_no_at_a_terminal_or_types_ctrl_c_gets_no_machine_and_no_cluster_is_remembered(
    aws: Region, tmp_path: Path, home: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "work.py").write_text("def work(df):\n    return df\n")
    (tmp_path / "rows.csv").write_text("a\n1\n")
    for typed, code, said in (
        (b"n\n", 2, "Nothing was made, as you said"),
        (b"\x03", 130, "No machine was made: type"),
    ):
        child, terminal = pty.fork()
        if not child:
            os.chdir(tmp_path)
            os.execv(MUSTER[0], [*MUSTER, *words])  # noqa: S606 (a child with a terminal of its own)
        shown = read_until(terminal, "Make this? [y/N]")
        os.write(terminal, typed)
        shown += read_until(terminal, "")
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.close(terminal)
        assert (ended, said in " ".join(shown.split()), "$0." in shown) == (code, True, True), shown
        assert not list((home / "clusters").glob("*"))
    assert launched(aws) == 0


def read_until(terminal: int, text: str) -> str:
    """Read what a terminal shows until that comes, or all where there is no text."""
    shown = b""
    while not text or text not in shown.decode(errors="replace"):
        assert select.select([terminal], [], [], SECONDS)[0], shown
        try:
            shown += (more := os.read(terminal, 1 << 16))
        except OSError:  # nobody has it open any more
            more = b""
        if not more:
            break
    return shown.decode(errors="replace")


def test_a_spot_machine_that_is_taken_away_soon_is_drained_and_its_tasks_are_done_elsewhere(
    aws: Region, muster: Muster, tmp_path: Path, home: Path
) -> None:
    (tmp_path / "work.py").write_text("import time\ndef work(df):\n    time.sleep(0.25)\n    return df\n")
    (tmp_path / "rows.csv").write_text("a\n" + "".join(f"{number}\n" for number in range(3_000)))
    file = tmp_path / "aws.yml"
    said = {"ssh_from": [f"{aws.address_here()}/32"], "zone": f"{NAME}b"}
    file.write_text(yaml.safe_dump({"aws": {**said, "state": "s3://states/muster"}}))
    end = muster("up", "--machines", "2", "--on", file, "--spot")
    assert (end.code, "There is no bucket 'states'" in end.err) == (2, True), end.err
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="states", CreateBucketConfiguration={"LocationConstraint": NAME})
    aws.throttles(1, "RunInstances")
    end = right(muster("up", "--machines", "2", "--on", file, "--spot"))
    assert f"2 machines (m7i.large, spot, in {NAME}b), $" in end.err
    one, other = aws.living()
    assert (one.zone, one.is_spot) == (f"{NAME}b", True)
    ((name, address),) = ((told["name"], told["address"]) for told in machines(muster) if not told["is_head"])
    taken, stays = (one, other) if address in (one.public, one.private) else (other, one)
    assert address in (taken.public, taken.private)
    aws.gives_notice(taken)
    until(Path(taken.root, NOTICE.lstrip("/")).exists)
    assert not Path(stays.root, NOTICE.lstrip("/")).exists()
    run = ("run", "work.py:work", "rows.csv", "-o", "out.csv", "--cluster", "default", "--batch-rows", "40")
    end = right(muster(*run, "--json"))
    assert re.search(rf"machine {name} will be taken away in 1?\d\d s by whoever made it", end.err), end.err
    assert (tmp_path / "out.csv").read_text() == (tmp_path / "rows.csv").read_text()
    (journal,) = (home / "runs").iterdir()
    told = list(map(json.loads, journal.read_text().splitlines()))
    reasons = {one["reason"] for one in told if one["event"] == "left" and one["worker"].startswith(name)}
    assert reasons == {"its machine is drained"}

    file.write_text(yaml.safe_dump({"aws": said}))
    end = muster("up", "--machines", "3")
    assert (end.code, "state of cluster 'default' lies in s3://states/muster, not in its" in end.err) == (2, True)
    right(muster("down"))
    assert (left(aws), "Contents" in s3.list_objects_v2(Bucket="states")) == ([], False)


def test_where_there_is_no_room_others_are_asked_for_and_a_cluster_that_may_not_grow_stays_or_is_content(
    aws: Region, muster: Muster
) -> None:
    aws.refuse("RunInstances", "InsufficientInstanceCapacity", "No room.", where={"Zone": f"{NAME}a"})
    aws.refuse(
        "RunInstances",
        "MaxSpotInstanceCountExceeded",
        "No more spot.",
        where={"InstanceMarketOptions.MarketType": "spot"},
    )
    end = right(muster("up", "--machines", "1", "--on", "aws", "--spot", "--instance-type", "m7i.large,m5.large"))
    assert re.search(
        r"no room for those: m5.large, spot; m7i.large, on demand; m5.large, on demand; at most \$0", end.err
    )
    tried = [one for one in aws.asked() if one["Action"] == "RunInstances"]
    asked = [(one["Zone"][-1], one.get("InstanceMarketOptions.MarketType", "on demand")) for one in tried]
    assert asked == [("a", "spot"), ("a", "on demand"), ("b", "on demand")]
    (one,) = aws.living()
    assert (one.zone, one.type, one.is_spot) == (f"{NAME}b", "m7i.large", False)

    aws.has_a_quota()
    end = muster("up", "--machines", "3")
    assert (end.code, "VcpuLimitExceeded" in end.err) == (3, True), end.err
    assert [one["name"] for one in machines(muster)] == ["m1"]
    end = right(muster("up", "--machines", "3", "--at-least", "1"))
    assert ("1 machine, 2 workers" in end.out, len(aws.living())) == (True, 1)


def test_a_quota_stops_at_once_and_names_itself_unless_fewer_machines_will_do(aws: Region, muster: Muster) -> None:
    aws.refuse("RunInstances", "VcpuLimitExceeded", "Your vCPU limit is 32.", where={"Zone": f"{NAME}a"})
    end = muster("up", "--machines", "2", "--on", "aws")
    assert (end.code, "VcpuLimitExceeded: Your vCPU limit is 32." in end.err) == (3, True), end.err
    assert ("Service Quotas" in end.err, "Traceback" in end.err) == (True, False)
    assert (left(aws), 1 <= launched(aws) <= 2) == ([], True)
    assert muster("status").out.startswith("There is no cluster")
    aws.mend()
    aws.refuse("RunInstances", "VcpuLimitExceeded", "Your vCPU limit is 32.", after=1)
    end = right(muster("up", "--machines", "2", "--on", "aws", "--at-least", "1"))
    assert "1 machine, 2 workers" in end.out
    assert (len(machines(muster)), len(aws.living())) == (1, 1)


def test_what_a_killed_run_has_made_is_removed_by_a_down(aws: Region, muster: Muster, tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text("def work(df):\n    return df\n")
    (tmp_path / "rows.csv").write_text("a\n1\n")
    with begun(tmp_path, "run", "work.py:work", "rows.csv", "-o", "o.csv", "--machines", "1", "--on", "aws") as half:
        until(lambda: aws.living() or half.poll() is not None)
        half.send_signal(signal.SIGKILL)
    assert "0 left" in right(muster("down", "--all")).out
    assert left(aws) == []


def test_of_what_is_killed_at_any_moment_nothing_outlives_its_lease_and_one_sweep_leaves_nothing(
    aws: Region, muster: Muster, tmp_path: Path, home: Path
) -> None:
    seed = int(os.environ.get("MUSTER_TEST_SEED", randrange(2**32)))  # noqa: S311 (it opens nothing)
    print(f"MUSTER_TEST_SEED={seed}")  # noqa: T201 (shown where it fails; set, it draws the same commands)
    draw, killed = Random(seed), 0  # noqa: S311 (likewise)
    (tmp_path / "work.py").write_text("def work(df):\n    return df\n")
    (tmp_path / "rows.csv").write_text("a\n1\n")
    aws.boots(way="silent")  # each machine has its leash, and nobody reaches it to renew anything
    left_behind(aws, tmp_path / "lost", machines=1)
    with begun(tmp_path, "up", "one", "--machines", "2", "--on", "aws", "--lease", f"{LEASE:g}s") as up:
        until(lambda: launched(aws, key=USER) or up.poll() is not None)
        assert killed_at_any_moment(aws, [up], draw), up.communicate()
    for number in range(2 * KILLED):  # a "down" with nothing to do may end before it is killed
        machines = ("--machines", str(draw.randint(1, 3)), "--on", "aws")
        up_again = ("up", "one", *machines, "--lease", f"{LEASE:g}s")
        run = ("run", "work.py:work", "rows.csv", "-o", f"{number}.csv", *machines)
        (first,) = draw.choices([up_again, run, ("down", "one")], weights=[4, 2, 1])
        second = draw.choice([("down", "two"), ("down", "--all"), NOW])
        left_behind(aws, home / "clusters" / "two", machines=draw.randint(1, 2))
        with begun(tmp_path, *first) as one, begun(tmp_path, *second) as other:
            killed += killed_at_any_moment(aws, [one, other], draw)
        if killed >= KILLED:
            break
    assert killed >= KILLED
    until(lambda: not any(one.tags[TAG] == "lost" for one in aws.living()))
    assert not outliving(aws, slack=SLACK), "\n".join(outliving(aws, slack=SLACK))
    end = right(muster(*NOW, "--all", "--yes"))
    assert "left 0" in end.out
    assert left(aws) == []


NOW = ("sweep", "--on", "aws", "--region", NAME, "--pause", "0")


def left_behind(region: Region, folder: Path, *, machines: int) -> None:
    """Have a cluster as a killed up leaves it, and its machines; unless an earlier one is there."""
    if not folder.exists():
        folder.mkdir(parents=True)
        notes.write(folder / "cluster.json", {"on": "aws"}, durable=True)
        note = note_of.begun(Settings(), NAME, Wanted(machines, 2, LEASE))
        note_of.remember(folder, replace(note, begun=time.time(), is_unsure=True))
        data, lease = user_data("", lease=LEASE), f"{LEASE:g}"
        make(region, folder.name, owner=note.owner, machines=machines, data=data, id=note.id, lease=lease)


def outliving(region: Region, *, slack: float) -> list[str]:
    """Describe the machines that lived, or live, for so many seconds longer than their lease."""
    return [
        f"{one.id} of {one.tags[TAG]!r} is {one.state}, lived {one.lived:.1f} s, with {one.tags}; it logged: {one.log}"
        for one in region.instances()
        if one.lived >= float(one.tags["muster:lease"]) + slack
    ]


def killed_at_any_moment(aws: Region, commands: "list[subprocess.Popen[str]]", draw: Random) -> int:
    """Kill each command some time after so much was asked of AWS, or nothing any more; count those that had not ended.

    How soon they ask depends on how busy the computer is, so what they have come to is not told by a clock.
    """
    begin = len(aws.asked())
    asked, asked_last = 0, time.monotonic()
    due = {one: (draw.randrange(40), draw.uniform(0, 1), draw.uniform(2, 5)) for one in commands}
    reached: dict[object, float] = {}

    def all_have_ended() -> bool:
        nonlocal asked, asked_last
        requests, now = len(aws.asked(begin)), time.monotonic()
        if requests > asked:
            asked, asked_last = requests, now
        for one, (most, later, longest) in due.items():
            if requests >= most:
                reached.setdefault(one, now)
            if now >= min(reached.get(one, inf) + later, asked_last + longest):
                one.kill()
        return all(one.poll() is not None for one in commands)

    until(all_have_ended)
    return sum(one.returncode == -signal.SIGKILL for one in commands)


def test_what_is_not_permitted_or_not_there_is_named_and_nothing_is_left(
    aws: Region, muster: Muster, tmp_path: Path
) -> None:
    (tmp_path / "aws.yml").write_text("aws: {packages: [nopackage]}")
    up = ("up", "--machines", "1", "--on", "aws")
    cases = [
        (("--instance-type", "m7i.enormous"), 2, "no such type of machine"),
        (("--region", "moon"), 2, "'moon' is no region"),
        (("--at-least", "2"), 2, "from 1 to 1"),
        (("--lease", "5s"), 2, "--lease 30s at the least"),
        (("--on", "aws.yml"), 2, "'nopackage' is not installed here"),
    ]
    for words, code, said in cases:
        end = muster(*up, *words)
        assert (end.code, said in end.err) == (code, True), end.err
    with pytest.MonkeyPatch.context() as nobody:
        nobody.delenv("AWS_ACCESS_KEY_ID")
        end = muster(*up)
        assert (end.code, "There are no credentials for AWS" in end.err) == (3, True), end.err
    aws.permits_not("CreateSecurityGroup")
    end = muster(*up)
    assert (end.code, "do not allow ec2:CreateSecurityGroup" in end.err) == (3, True), end.err
    aws.knows_credentials_no_more()
    end = muster(*up)
    assert (end.code, "Log in again" in end.err) == (3, True), end.err
    aws.mend()
    assert left(aws) == []
    end = muster("up", "--machines", "1", "--spot")
    assert (end.code, "--spot is about machines of AWS" in end.err) == (2, True), end.err


def test_an_up_that_was_killed_is_finished_by_the_next_or_ended_by_a_down(
    aws: Region, muster: Muster, tmp_path: Path
) -> None:
    aws.boots(held=True)
    with begun(tmp_path, "up", "--machines", "2", "--on", "aws") as half:
        until(lambda: len(aws.living()) == 2 or half.poll() is not None)
        half.send_signal(signal.SIGKILL)
    aws.boots()
    with begun(tmp_path, "down") as half:
        until(
            lambda: (
                (launched(aws) and any(one["Action"] == "TerminateInstances" for one in aws.asked()))
                or half.poll() is not None
            )
        )
        half.send_signal(signal.SIGKILL)
    right(muster("up", "--machines", "1", "--on", "aws"))
    assert (len(machines(muster)), len(aws.living())) == (1, 1)
    right(muster("down"))
    assert left(aws) == []


def test_machines_that_a_killed_up_has_made_end_with_their_lease_and_a_down_finds_the_rest(
    aws: Region, muster: Muster, tmp_path: Path
) -> None:
    with begun(tmp_path, "up", "--machines", "2", "--on", "aws", "--lease", "30s") as half:
        until(lambda: any(one.root for one in aws.living()) or half.poll() is not None)
        half.send_signal(signal.SIGKILL)
    until(lambda: launched(aws) and not aws.living())
    right(muster("down"))
    assert left(aws) == []


def test_aws_knows_that_leases_are_renewed_of_machines_that_are_still_being_equipped(
    aws: Region, tmp_path: Path, home: Path
) -> None:
    with begun(tmp_path, "up", "--machines", "1", "--on", "aws") as half:
        until(lambda: any((Path(one.root) / "run" / "muster-lease").exists() for one in aws.living() if one.root))
        half.send_signal(signal.SIGKILL)
    (one,) = aws.living()
    assert RENEWED not in one.tags
    assert AwsCloud(home / "clusters" / "default", None, asked=RentalFlags()).renew().remark == ""
    (one,) = aws.living()
    assert datetime.fromisoformat(one.tags[RENEWED]).timestamp() > time.time() - SECONDS
    assert one.tags["muster:lease"] == "900"


def test_a_machine_that_ends_while_it_is_waited_for_is_told_and_nothing_is_left(
    aws: Region, muster: Muster, tmp_path: Path, home: Path
) -> None:
    aws.boots(way="never")
    with begun(tmp_path, "up", "--machines", "1", "--on", "aws") as waiting:
        until(lambda: made_by_pulumi(home) or waiting.poll() is not None)
        aws.lose(aws.living()[0])
        _, err = waiting.communicate(timeout=SECONDS)
    assert (waiting.returncode, "it has ended, as AWS says" in err) == (3, True), err
    assert left(aws) == []
    assert muster("status").out.startswith("There is no cluster")


def test_a_machine_on_which_no_leash_runs_is_ended_at_once_and_the_image_is_named_as_the_cause(
    aws: Region, muster: Muster
) -> None:
    aws.boots(way="unleashed")
    end = muster("up", "--machines", "1", "--on", "aws")
    assert (end.code, "leash does not run on it, so nothing would end it: has its image cloud-init" in end.err) == (
        3,
        True,
    ), end.err
    assert left(aws) == []


@pytest.mark.parametrize("at_least", [1, 2])
def test_what_is_not_ready_in_time_is_ended_and_those_that_are_work_where_fewer_will_do(
    aws: Region, muster: Muster, home: Path, at_least: int
) -> None:
    aws.boots(way="never", which=[1])
    within = ("--ready-within", "80s" if at_least == 1 else "5s")
    end = muster("up", "--machines", "2", "--on", "aws", "--at-least", str(at_least), *within)
    if at_least == 1:
        assert (end.code, "1 machine, 2 workers" in end.out, len(aws.living())) == (0, True, 1), end.err
        assert "It is ended, as --at-least 1 allows." in end.out
    else:
        cloud = AwsCloud(home / "clusters" / "default", None, asked=RentalFlags())
        assert (end.code, "--ready-within, such as 20m" in end.err, cloud.last()) == (3, True, None), end.err
        assert left(aws) == []
    end = muster("up", "--machines", "2", "--on", "aws", "--ready-within", "0s")
    assert (end.code, "no machine is ready at once" in end.err) == (2, True), end.err


def test_spot_machines_are_had_where_aws_takes_no_word_of_what_becomes_of_those_that_power_themselves_off(
    aws: Region, muster: Muster
) -> None:
    aws.refuse("RunInstances", "InvalidParameterCombination", "Not with spot.", where={"Shutdown": "terminate"})
    right(muster("up", "--machines", "1", "--on", "aws", "--spot", "--lease", "1h"))
    (one,) = aws.living()
    assert one.is_spot
    assert "resources" not in right(muster("up", "--machines", "1")).err
    aws.mend()
    end = right(muster("up", "--machines", "2", "--no-spot"))
    there, more = re.findall(r"\$(\S+) an hour", end.err)[:2]
    assert "1 machine as it is now, $" in end.err
    assert "and 1 more machine (m7i.large, on demand" in end.err
    assert float(there) < float(more) == float(LISTED["m7i.large"])


def made_by_pulumi(home: Path) -> int:
    """Count the machines of which the command knows that Pulumi has made them: from then on it waits for them."""
    note = note_of.recalled(home / "clusters" / "default")
    return len(note.made) if note else 0


def test_in_the_place_of_a_machine_that_aws_loses_while_it_is_made_another_is_made(
    aws: Region, muster: Muster, tmp_path: Path
) -> None:
    aws.boots(held=True)
    with begun(tmp_path, "up", "--machines", "2", "--on", "aws") as waiting:
        until(lambda: len(aws.living()) == 2 or waiting.poll() is not None)
        first, second = aws.living()
        aws.lose(first)
        aws.boots()
        out, err = waiting.communicate(timeout=SECONDS)
    assert (waiting.returncode, "2 machines, 4 workers" in out, launched(aws)) == (0, True, 3), err
    assert second.id in {one.id for one in aws.living()}
    assert (len(machines(muster)), len(aws.living())) == (2, 2)


@pytest.mark.parametrize("at_least", [1, 2])
def test_a_machine_that_somebody_ends_while_it_is_made_is_told_and_the_others_work_where_fewer_will_do(
    aws: Region, muster: Muster, tmp_path: Path, at_least: int
) -> None:
    aws.boots(held=True)
    with begun(tmp_path, "up", "--machines", "2", "--on", "aws", "--at-least", str(at_least)) as waiting:
        until(lambda: len(aws.living()) == 2 or waiting.poll() is not None)
        first, second = aws.living()
        aws.lose(first, "Client.UserInitiatedShutdown: User initiated shutdown")
        aws.boots()
        out, err = waiting.communicate(timeout=SECONDS)
    assert launched(aws) == 2
    if at_least == 1:
        assert (waiting.returncode, "1 machine, 2 workers" in out) == (0, True), err
        assert ([one.id for one in aws.living()], len(machines(muster))) == ([second.id], 1)
    else:
        assert f"waiting for EC2 Instance ({first.id}) create: unexpected state 'terminated'" in err
        assert "User initiated shutdown. A machine was ended while it was made, by somebody or by itself. Type" in err
        assert (waiting.returncode, left(aws)) == (3, []), err


def test_where_fewer_will_do_a_machine_that_never_boots_is_ended_and_the_others_work(
    aws: Region, muster: Muster, tmp_path: Path, home: Path
) -> None:
    aws.boots(way="never", which=[1])
    up = ("up", "--machines", "2", "--on", "aws", "--at-least", "1")
    with begun(tmp_path, *up) as waiting:
        until(lambda: made_by_pulumi(home) == 2 or waiting.poll() is not None)
        first, second = aws.living()
        aws.lose(first)
        out, err = waiting.communicate(timeout=SECONDS)
    assert (waiting.returncode, "1 machine, 2 workers" in out) == (0, True), err
    assert re.search(r"m\d: .* It is ended, as --at-least 1 allows\.", out), out
    assert [one.id for one in aws.living()] == [second.id]
    assert len(machines(muster)) == 1
