"""``--each`` and ``--since-last`` in a bucket, on moto's server."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from conftest import Muster

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_DEFAULT_REGION": "us-east-1",
}
INLINE = ("--workers", "0", "--json")


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def bucket(served: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:  # noqa: ANN401 (boto3 has no types)
    for name, value in {"AWS_ENDPOINT_URL": served, **ENVIRONMENT}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "f.py").write_text("def double(df):\n    df['b'] = df['a'] * 2\n    return df\n")
    store = boto3.resource("s3", endpoint_url=served)
    made = store.Bucket(f"b{abs(hash(str(tmp_path)))}")
    made.create()
    return made


def put(bucket: Any, **files: str) -> None:  # noqa: ANN401 (likewise)
    for name, text in files.items():
        bucket.put_object(Key=f"in/{name}.csv", Body=text.encode())


def texts(bucket: Any, prefix: str = "out/") -> dict[str, str]:  # noqa: ANN401 (likewise)
    return {
        one.key.removeprefix(prefix): one.get()["Body"].read().decode() for one in bucket.objects.filter(Prefix=prefix)
    }


def test_each_file_of_a_bucket_has_an_output_and_what_is_unchanged_is_left_alone(bucket: Any, muster: Muster) -> None:  # noqa: ANN401
    put(bucket, a="a\n1\n", b="a\n2\n")
    place = f"s3://{bucket.name}"
    command = ("run", "f.py:double", f"{place}/in/", "-o", f"{place}/out/", "--each", *INLINE)
    assert muster(*command).json["done"] == 2
    put(bucket, b="a\n3\n")
    again = muster(*command)
    assert (again.json["done"], again.json["unchanged"]) == (1, 1), again
    assert texts(bucket) == {"a.csv": "a,b\n1,2\n", "b.csv": "a,b\n3,6\n"}


def test_what_is_new_in_a_bucket_is_done_once_by_content(bucket: Any, muster: Muster) -> None:  # noqa: ANN401
    put(bucket, a="a\n1\n", b="a\n2\n")
    place = f"s3://{bucket.name}"
    command = ("run", "f.py:double", f"{place}/in/*.csv", "-o", f"{place}/out/{{date}}.csv", "--since-last", *INLINE)
    assert muster(*command).json["new_files"] == 2
    put(bucket, renamed="a\n1\n", c="a\n3\n")
    bucket.Object("in/a.csv").delete()
    second = muster(*command)
    assert second.json["new_files"] == 1, second
    third = muster(*command)
    assert (third.code, third.json["new_files"], third.json["outputs"]) == (0, 0, [])
    made = texts(bucket)
    ledger = made.pop(".date.csv.since-last.json")
    assert sorted(made.values()) == ["a,b\n1,2\n2,4\n", "a,b\n3,6\n"]
    assert '"begun": null' in ledger
