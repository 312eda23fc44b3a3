"""How AWS is asked: by whose credentials, and how often these are looked for."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError

from muster._clouds.aws.asking import asking, client, region_of
from muster._clouds.aws.permissions import partition_of
from muster.errors import EngineError, UsageError


def test_credentials_are_looked_up_once_for_all_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, found, settings = (tmp_path / name for name in ("asked", "find.py", "config"))
    keys = json.dumps({"Version": 1, "AccessKeyId": "AKIAPRETENDED", "SecretAccessKey": "pretended"})
    found.write_text(f"open({str(asked)!r}, 'a').write('once ')\nprint({keys!r})\n")
    settings.write_text(f"[default]\ncredential_process = {sys.executable} {found}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(settings))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with ThreadPoolExecutor(4) as at_once:
        made = list(at_once.map(lambda service: client(service, "eu-central-1"), ["ec2", "ssm", "sts", "pricing"]))
    assert len(made) == 4
    assert asked.read_text() == "once "


def test_what_cannot_be_asked_is_told_before_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for region in ("moon", "us-a_b-1"):
        with pytest.raises(UsageError, match=f"'{region}' is no region of AWS"):
            client("ec2", region)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nowhere")
    with pytest.raises(UsageError, match="AWS_ENDPOINT_URL"):
        client("ec2", "eu-central-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    (tmp_path / "config").write_text("[profile work]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_PROFILE", "wrok")
    for ask in (region_of, lambda: client("ec2", "eu-central-1"), lambda: partition_of("eu-central-1")):
        with pytest.raises(
            UsageError, match=r"profile \(wrok\) could not be found\. There are: work\. Set AWS_PROFILE"
        ):
            ask()
    monkeypatch.delenv("AWS_PROFILE")
    (tmp_path / "config").write_text("[default\n")
    with pytest.raises(UsageError, match=r"settings of AWS cannot be read: Unable to parse"):
        region_of()
    (tmp_path / "config").write_text("[default]\ncredential_process = false\n")
    with pytest.raises(EngineError, match="AWS could not be asked"):
        client("ec2", "eu-central-1")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://ec2.eu-central-9.amazonaws.com/", "a region eu-central-9 (did you mean eu-central-"),
        ("https://ec2.eu-central-1.amazonaws.com/", "Is this computer online?"),
        ("http://127.0.0.1:9/", "Is this computer online?"),
    ],
)
def test_where_nobody_answers_in_a_region_that_is_none_that_is_said(url: str, said: str) -> None:
    with pytest.raises(EngineError) as caught, asking():
        raise EndpointConnectionError(endpoint_url=url)
    assert said in str(caught.value)
    assert url in str(caught.value)
