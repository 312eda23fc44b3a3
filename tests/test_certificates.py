"""The certificates of a cluster: who holds which, what they are good for, and what is said when they end."""

import datetime as dt
import ipaddress
import os
import ssl
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from muster import EngineError, UsageError
from muster._clouds.base import Renewals
from muster._clouds.certificates import LOOPBACK, Authority
from muster._clouds.certificates import environment as settings
from muster._clouds.over_ssh import requirements
from muster._clouds.renewing import News
from muster._clouds.there import environment

DAY = 86_400.0
ENDED = -(30 * DAY + 3_600) / 4
"""A lease so long ago that certificates ended an hour ago."""
ENDING = -29.5 * DAY / 4
"""One so long ago that they have half a day left."""


def nobody_works() -> None:
    pass


def a_run_works() -> None:
    raise UsageError("a run works on them")


def issued(folder: Path, *addresses: str, lease: float = 900.0) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    authority = Authority(folder)
    authority.begin(lease)
    made = authority.issue("m1", addresses)
    for name, text in made.items():
        (folder / name).write_text(text)
    return made


def shakes_hands(server: Path, client: Path, address: str) -> bool:
    """Tell whether a member of one cluster and one of another, or the same, find that they belong together."""
    accepting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    accepting.verify_mode = ssl.CERT_REQUIRED
    calling = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for context, folder in ((accepting, server), (calling, client)):
        context.load_cert_chain(folder / "node.crt", folder / "node.key")
        context.load_verify_locations(folder / "ca.crt")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        calling.wrap_bio(to_client, to_server, server_hostname=address),
        accepting.wrap_bio(to_server, to_client, server_side=True),
    ]
    shaken = set()
    for _ in range(10):
        for end in ends:
            try:
                end.do_handshake()
                shaken.add(end)
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
    return len(shaken) == len(ends)


def test_members_know_each_other_at_their_addresses_alone_and_nobody_of_another_cluster(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    addresses = ("10.0.0.7", "fd99::7", "host-7", *LOOPBACK)
    issued(one, *addresses)
    issued(other, *addresses)
    for address in addresses:
        assert shakes_hands(one, one, address)
    assert not shakes_hands(one, one, "10.0.0.8")
    assert not shakes_hands(one, other, "10.0.0.7")
    assert not shakes_hands(other, one, "10.0.0.7")


def test_a_certificate_signs_nothing_and_the_key_that_does_is_given_to_nobody(tmp_path: Path) -> None:
    made = issued(tmp_path, "10.0.0.7")
    assert set(made) == {"ca.crt", "node.crt", "node.key"}
    assert stat.S_IMODE((tmp_path / "ca.key").stat().st_mode) == 0o600
    assert (tmp_path / "ca.key").read_text() not in made.values()
    certificate = x509.load_pem_x509_certificate(made["node.crt"].encode())
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("10.0.0.7")]


def test_a_name_of_any_length_and_alphabet_can_be_a_machines(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.begin(900)
    made = authority.issue("m" * 300, ["rechner-ä.example", "10.0.0.7"])
    assert "rechner" in str(x509.load_pem_x509_certificate(made["node.crt"].encode()).extensions)


def test_certificates_count_from_a_day_ago_and_outlive_every_lease(tmp_path: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    for lease, days in ((900.0, 30), (60 * DAY, 270)):
        certificate = x509.load_pem_x509_certificate(issued(tmp_path, "10.0.0.7", lease=lease)["node.crt"].encode())
        assert certificate.not_valid_before_utc < now - dt.timedelta(hours=23)
        assert certificate.not_valid_after_utc - now >= dt.timedelta(days=days) - dt.timedelta(minutes=1)


@pytest.mark.parametrize(
    ("lease", "alone", "anew"),
    [
        (900.0, nobody_works, False),
        (900.0, a_run_works, False),
        (ENDING, nobody_works, True),
        (ENDING, a_run_works, False),
        (ENDED, nobody_works, True),
        (None, nobody_works, True),
    ],
)
def test_machines_start_anew_in_the_second_half_as_soon_as_no_run_works_on_them(
    tmp_path: Path, lease: float | None, alone: Callable[[], None], *, anew: bool
) -> None:
    authority = Authority(tmp_path)
    if lease is not None:
        authority.begin(lease)
    assert authority.must_begin_anew(alone) is anew


@pytest.mark.parametrize("lease", [ENDED, None])
def test_what_has_ended_is_told_whoever_works_and_whoever_wants_to(tmp_path: Path, lease: float | None) -> None:
    authority = Authority(tmp_path)
    if lease is not None:
        authority.begin(lease)
    with pytest.raises(EngineError, match=r"certificates of the cluster's machines (ended on|cannot be read)"):
        authority.check()
    with pytest.raises(UsageError):
        authority.must_begin_anew(a_run_works)
    authority.begin(900)
    authority.check()
    authority.forget()
    assert not list(tmp_path.iterdir())


def test_the_end_of_certificates_is_told_once_while_there_is_time_for_new_ones(tmp_path: Path) -> None:
    authority, news = Authority(tmp_path), News()
    told = []
    for lease in (None, 900.0, ENDING, ENDING, 900.0, ENDED):
        if lease is not None:
            authority.begin(lease)
        told.append(news.of(Renewals(("m1",), 900, remark=authority.remark())))
    assert [len(texts) for texts in told] == [0, 0, 1, 0, 0, 1]
    assert "muster up makes new ones" in told[2][0]


# A host


def test_a_host_whose_clock_is_far_off_is_named_before_anything_is_started() -> None:
    looked = environment.look({"packages": [], "cluster": "default", "ours": []})
    assert not list(requirements.obstacles(looked))
    (said,) = requirements.obstacles({**looked, "platform": "Darwin arm64"})
    assert said == "its system is Darwin arm64, and machines are made of Linux hosts alone"
    for hours, told in ((20, "20 hours ahead of"), (-30, "30 hours behind")):
        (said,) = requirements.obstacles({**looked, "time": looked["time"] + hours * 3_600})
        assert told in said


def test_ray_starts_no_head_of_its_own_for_what_is_asked_once_it_has_left_the_cluster(tmp_path: Path) -> None:
    given = {**os.environ, **settings(tmp_path, token=tmp_path / "token"), "RAY_TMPDIR": str(tmp_path / "ray")}
    asking = subprocess.run(
        [sys.executable, "-c", "import ray; ray.put(1)"],
        env=given,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert asking.returncode != 0
    assert "ray.init" in asking.stderr, asking.stderr
    assert not (tmp_path / "ray").exists()
