"""What an ``aws:`` section may say: each word is checked before AWS is asked, and flags count before it."""

from pathlib import Path

import pytest

from muster._clouds.asked import RentalFlags
from muster._clouds.aws.settings import Settings, settings_in
from muster.errors import UsageError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("aws: {colour: red}", "'colour' means nothing there"),
        ("aws: {regoin: eu-west-1}", "'regoin' (did you mean region?) means nothing there"),
        ("aws: {types: m7i.large}", "types must be a list, and is 'm7i.large'. Write types: [m7i.large]."),
        ("aws: {types: []}", "types is empty"),
        ("aws: {types: [1]}", "types must be a list of texts"),
        ("aws: {spot: 1}", "spot must be true or false"),
        ("aws: {disk: 2}", "disk is 2. It must be from 8"),
        ("aws: {workers: true}", "workers must be a whole number"),
        ("aws: {workers: 0}", "workers is 0"),
        ("aws: {ssh_from: [10.0.0.1/8]}", "has host bits set"),
        ("aws: {ssh_from: [0.0.0.0/0]}", "the whole world"),
        ("aws: {ssh_from: [0.0.0.0/1, 128.0.0.0/1]}", "the whole world"),
        ("aws: {ssh_from: [2000::/3]}", "lets in 2000::/3"),
        ("aws: {ssh_from: [203.0.113.7/32, 10.0.0.0/8, 11.0.0.0/8]}", "lets in 10.0.0.0/7"),
        ("aws: {state: 'gs://bucket'}", "'gs://bucket' names no place in S3"),
        ("aws: {vpc: v, subnet: s}", "a subnet lies in one VPC"),
        ("aws: {python: python3.9}", "machines need the version that muster runs on here, which is python3."),
        ("aws: {python: 3.11}", "python must be text, and is 3.11. Put it in quotes."),
        ("aws: {python: '3.11'}", "python is '3.11', and machines need the version that muster runs on here"),
        ("aws: {python: bin/python}", "write the path of an image's own"),
        ("aws: {profile: 'arn:aws:iam::123456789012:instance-profile/mine'}", "Write the name of an instance profile"),
        ("aws: {ssh_from: []}", "ssh_from is empty"),
        ("aws: {python: '{{ x }}'}", "would mean something to Ansible"),
        ("aws: {}\nhosts: []", "and also hosts:"),
        ("aws: []", "it must hold words and values"),
        ("aws: 0", "it must hold words and values"),
        ("aws: 3", "it must hold words and values, such as region: eu-central-1"),
    ],
)
def test_a_word_of_the_file_that_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "aws.yml"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"aws\.yml.*") as caught:
        settings_in(file)
    assert said in str(caught.value)


def test_flags_count_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "aws.yml"
    file.write_text("aws: {region: eu-west-1, types: [a.large], spot: true, ssh_from: [203.0.113.7/32]}")
    said = settings_in(file)
    assert (said.region, said.types, said.is_spot, said.ssh_from) == (
        "eu-west-1",
        ("a.large",),
        True,
        ("203.0.113.7/32",),
    )
    assert said.but(RentalFlags(region="us-east-1", types=("b.large",))).region == "us-east-1"
    assert not said.but(RentalFlags(is_spot=False)).is_spot
    file.write_text("aws:")
    assert settings_in(file) == Settings()


def test_what_a_file_does_not_say_anew_stays_as_flags_have_said_it() -> None:
    before = Settings(region="eu-west-1", types=("a.large",))
    flagged = before.but(RentalFlags(types=("b.large",), is_spot=True, workers=3))
    assert flagged.changed(before, before) == flagged
    assert flagged.changed(before, Settings(region="eu-west-1", types=("c.large",), disk=50)) == Settings(
        region="eu-west-1", types=("c.large",), disk=50, is_spot=True, workers=3
    )
    assert flagged.changed(before, Settings(types=("a.large",))).region == ""
