"""Machines that are up and let somebody else in: told within a minute, with who may come in, and what to type."""

from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest

from aws.leftovers import make
from aws.region import NAME, Region
from muster._clouds.aws import booting
from muster._clouds.aws import note as note_of
from muster._clouds.aws.blueprint import Made
from muster._clouds.aws.choosing import places
from muster._clouds.aws.making import Making
from muster._clouds.aws.reached import hosts_of, write_host_keys
from muster._clouds.aws.settings import Settings
from muster._clouds.aws.unanswered import way_in, with_who_is_let_in
from muster._clouds.aws.user_data import user_data
from muster._clouds.base import Wanted
from muster.errors import EngineError

pytestmark = pytest.mark.waits("together")


def made(region: Region, folder: Path) -> Making:
    """Have two machines of a cluster, as a command has that has just made them."""
    folder.mkdir()
    note = note_of.begun(Settings(types=("m7i.large",)), NAME, Wanted(2, 2, 600.0))
    make(region, folder.name, owner=note.owner, data=user_data("", lease=600.0), id=note.id)
    machines = {f"m{at}": Made(one.id, one.public, one.private) for at, one in enumerate(region.living(), 1)}
    place = places(NAME, note.settings)[0]
    return Making(folder, replace(note, made=machines, place=place, ssh_from=("203.0.113.7/32",)))


def waited_for(making: Making) -> str:
    """Wait for machines in vain; tell why that ended."""
    hosts = hosts_of(making.folder, making.note, making.note.made)
    write_host_keys(making.folder, hosts)
    with pytest.raises(EngineError) as caught:
        booting.await_ready(making, hosts, patience=0.1)
    return str(caught.value)


def test_machines_that_are_up_and_answer_nobody_here_are_given_up_long_before_the_deadline(
    region: Region, tmp_path: Path
) -> None:
    region.boots(way="silent")
    making = made(region, tmp_path / "c")
    region.permits_not("GetConsoleOutput")  # an older policy: nobody knows that they are up
    said = waited_for(replace(making, deadline=monotonic()))
    assert "does not answer" in said
    assert "SSH is let in" not in said
    region.mend()
    said = waited_for(making)
    for one in region.living():
        assert f"it is up, as its console says, and at {one.private}, port 22, nothing has answered" in said
    assert "SSH is let in from 203.0.113.7/32 alone, where this computer was, and AWS sees it at" in said
    assert f"{region.address_here()} now. Type the command again" in said


def test_of_a_machine_that_does_not_answer_any_more_it_is_told_who_is_let_in() -> None:
    note = replace(note_of.begun(Settings(), NAME, Wanted(2, 2, 600.0)), ssh_from=("203.0.113.7/32",))
    lost = "it does not answer. [ssh: connect to host 198.51.100.4 port 22: Connection timed out]"
    busy = "it does not answer. [ssh: connect to host 198.51.100.5 port 22: Connection refused]"
    told = with_who_is_let_in({"m1": lost, "m2": busy}, note, cluster="big")
    assert told["m1"].startswith(f"{lost} SSH is let in from 203.0.113.7/32 alone: if this computer calls from else")
    assert "elsewhere now, type muster up big --machines 2, which lets that in." in told["m1"]
    assert told["m2"] == busy
    said = replace(note, settings=Settings(ssh_from=("203.0.113.7/32",)))
    assert "now, mend ssh_from:, and type" in with_who_is_let_in({"m1": lost}, said, cluster="big")["m1"]


@pytest.mark.parametrize(
    ("allowed", "here", "is_said", "said"),
    [
        (["203.0.113.7/32"], "198.51.100.4/32", True, "Write ssh_from: [198.51.100.4/32], or leave it out"),
        (["203.0.113.7/32"], "198.51.100.4/32", False, "it at 198.51.100.4 now. Type the command again"),
        (["203.0.113.0/24", "2001:db8::/64"], "203.0.113.9/32", True, "which is let in. So something on the way keeps"),
        (["203.0.113.0/24"], "2001:db8::1/128", True, "Write ssh_from: [2001:db8::1/128]"),
    ],
)
def test_who_is_let_in_is_told_with_who_calls(allowed: list[str], here: str, said: str, *, is_said: bool) -> None:
    told = way_in(allowed, here, is_said=is_said)
    assert told.startswith(f"SSH is let in from {', '.join(allowed)} alone")
    assert said in told
