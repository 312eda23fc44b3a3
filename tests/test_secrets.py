"""Passwords, signatures and tokens in URLs: they are in memory, and nowhere else."""

import base64
import hashlib
import os
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pandas as pd
import pytest

import muster
from conftest import Muster
from muster import EngineError, UsageError
from muster._private.secrets import forget, harmless, is_secret, packed, set_options, shown, whole
from muster._urls.urls import filesystem
from muster._user_code.world import World
from web import Web, serving

PASSWORD, SIGNATURE, TOKEN = "PASSWD77", "SIGNED/123==", "TOKEN4711"
SECRETS = (PASSWORD, "SIGNED", TOKEN)
SIGNED = f"?X-Amz-Credential=AKIA%2F20260101&X-Amz-Signature={SIGNATURE}&access_token={TOKEN}&id=5"


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as found:
        found.login = f"anna:{PASSWORD}"
        yield found


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    forget()


@pytest.fixture(autouse=True)
def functions(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text(
        "def same(df):\n    return df\n\ndef fails(df):\n    raise ValueError('no')\n\n"
        "def once_at_1(df):\n    import os, pathlib\n    mark = pathlib.Path('killed')\n"
        "    if df.x.max() == 1 and not mark.exists():\n        mark.touch(); os._exit(9)\n    return df\n\n"
        "def once(df):\n    import os, pathlib\n    mark = pathlib.Path('killed')\n"
        "    if df.index[0] > 2000 and not mark.exists():\n        mark.touch(); os._exit(9)\n    return df\n"
    )


def signed(web: Web, name: str) -> str:
    return web.url(name, login=f"anna:{PASSWORD}") + SIGNED


def nothing_leaked(*folders: Path, said: str = "") -> None:
    for secret in SECRETS:
        assert secret not in said
        for folder in folders:
            for path in folder.rglob("*"):
                assert secret not in str(path)
                assert not path.is_file() or secret.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("function", "data", "code"),
    [("same", b"x,t\n1,a\n3,b\n", 0), ("same", b"x,t\n1,a\n3\n", 4), ("fails", b"x,t\n1,a\n3,b\n", 1)],
)
def test_secrets_of_an_input_are_nowhere(  # noqa: PLR0913, PLR0917 (fixtures, and three cases)
    web: Web, tmp_path: Path, home: Path, muster: Muster, function: str, data: bytes, code: int
) -> None:
    web.put("in.csv", data)
    run = muster("run", f"f.py:{function}", signed(web, "in.csv"), "-o", "o.csv", "--json")
    report, runs = muster("report", "-o", "r.html"), muster("runs", "--json")
    assert run.code == code, run.err
    if code != 1:  # a run that has kept nothing is forgotten
        assert "in.csv" in runs.out
        assert "in.csv" in (tmp_path / "r.html").read_text()
    nothing_leaked(home, tmp_path, said=run.out + run.err + report.err + report.out + runs.out)


@pytest.mark.parametrize("trouble", ["login", "token", "missing", "moved", "port", "option"])
def test_secrets_are_in_no_message(web: Web, tmp_path: Path, home: Path, muster: Muster, trouble: str) -> None:
    web.put("in.csv", b"x\n1\n")
    url = signed(web, "in.csv")
    more: tuple[str, ...] = ()
    match trouble:
        case "login":
            web.login = "another:one"
        case "token":
            web.token = "another"  # noqa: S105 (of a server of this test)
        case "missing":
            del web.files["/in.csv"]
        case "moved":
            web.moved["/in.csv"] = web.url("gone.csv") + f"?X-Amz-Signature={TOKEN}"
        case "port":
            url = url.replace(f":{web.port}", ":1")
        case _:
            more = ("--workers", url)
    run = muster("run", "f.py:same", url, "-o", "o.csv", "--json", *more)
    assert run.code == (3 if trouble == "port" else 2), run.err
    assert "this is a fault of muster" not in run.err.lower()
    nothing_leaked(home, tmp_path, said=run.out + run.err)


def test_secrets_are_in_no_traceback_of_a_caller(web: Web, tmp_path: Path) -> None:
    web.token = "another"  # noqa: S105 (likewise)
    with pytest.raises((EngineError, UsageError)) as caught:
        muster.run(lambda df: df, signed(web, "in.csv"), tmp_path / "o.csv", workers=0)
    nothing_leaked(said="".join(traceback.format_exception(caught.value)))


@pytest.mark.parametrize("text", [f"postgres://joe:{PASSWORD}@host/db", f'{{"password": "{PASSWORD}"}}'])
def test_secrets_in_the_value_of_an_argument_are_in_no_file(
    tmp_path: Path, home: Path, muster: Muster, text: str
) -> None:
    (tmp_path / "in.csv").write_text("a\n1\nx\n")
    (tmp_path / "g.py").write_text("def f(df, db):\n    df['a'].map(int)\n    return df\n")
    ended = muster("run", "g.py:f", "in.csv", "-o", "out.csv", "--arg", f"db={text}", "--workers", "0")
    assert ended.code == 4, ended.err
    nothing_leaked(home, tmp_path, said=ended.out + ended.err)


@pytest.mark.parametrize("options", [("-o", "out/", "--each"), ("-o", "out/{date}.csv", "--since-last")])
def test_secrets_of_inputs_are_nowhere_every_hour_either(
    web: Web, tmp_path: Path, home: Path, muster: Muster, options: tuple[str, ...]
) -> None:
    web.put("in.csv", b"a\n1\n")
    ended = muster("run", "f.py:same", signed(web, "in.csv"), *options, "--workers", "0", "--json")
    assert ended.code == 0, ended.err
    nothing_leaked(home, tmp_path, said=ended.out + ended.err)


def test_a_killed_run_goes_on_with_a_new_signature(web: Web, tmp_path: Path, home: Path, muster: Muster) -> None:
    web.put("in.csv", b"x\n" + b"".join(b"%d\n" % at for at in range(10_000)), ETag='"1"')
    web.login = ""
    command = ("-o", "o.csv", "--workers", "0", "--batch-rows", "1000", "--json")
    killed = muster("run", "f.py:once", web.url("in.csv") + f"?sig={TOKEN}&se=2026-01-01", *command)
    assert killed.code == 9, killed.err
    nothing_leaked(home, tmp_path)
    ended = muster("run", "f.py:once", web.url("in.csv") + "?sig=ANOTHER99&se=2026-01-02&sp=r", *command)
    assert ended.code == 0, ended.err
    assert ended.json["resumed_parts"] > 0


LOGINS = ("http://alice:pw@127.0.0.1:{}/in.csv", "http://bob:pw@127.0.0.1:{}/in.csv")
CODES = ("http://127.0.0.1:{}/in.csv?code=1", "http://127.0.0.1:{}/in.csv?code=2")


@pytest.mark.parametrize(
    ("urls", "expected"),
    [(LOGINS, "x\n0\n1\n"), (CODES, "x\n2\n3\n"), ((LOGINS[0], *CODES), "x\n0\n2\n3\n")],
)
def test_files_whose_urls_differ_in_secrets_alone_are_all_read(
    web: Web, tmp_path: Path, muster: Muster, urls: tuple[str, ...], expected: str
) -> None:
    web.login = ""
    for at, name in enumerate(["alice@/in.csv", "bob@/in.csv", "/in.csv?code=1", "/in.csv?code=2"]):
        web.files[name], web.stamps[name] = b"x\n%d\n" % at, {"ETag": f'"{at}"'}
    inputs = [url.format(web.port) for url in urls]
    ended = muster("run", "f.py:same", *inputs, "-o", "o.csv", "--workers", "0")
    assert ended.code == 0, ended.err
    assert (tmp_path / "o.csv").read_text() == expected


def test_several_files_with_new_secrets_are_known_again(web: Web, tmp_path: Path, muster: Muster) -> None:
    web.login = ""
    command = ("-o", "o.csv", "--workers", "0", "--batch-rows", "1000", "--json")
    for sign, code in (("a", 9), ("b", 0)):
        for at in range(2):
            name = f"/in.csv?sig={sign}{at}"
            web.files[name], web.stamps[name] = b"x\n" + b"0\n" * 10_000 + b"%d\n" % at, {"ETag": f'"{at}"'}
        urls = [web.url(f"in.csv?sig={sign}{at}") for at in range(2)]
        ended = muster("run", "f.py:once_at_1", *urls, *command)
        assert ended.code == code, ended.err
    assert ended.json["resumed_parts"] > 0
    assert (tmp_path / "o.csv").read_text() == "x\n" + "0\n" * 20_001 + "1\n"


def test_a_run_is_told_no_secrets_of_the_runs_before_it_in_its_process(web: Web, tmp_path: Path) -> None:
    web.put("in.csv", b"x\n1\n")
    muster.run(lambda df: df, signed(web, "in.csv"), tmp_path / "o.csv", workers=0, storage_options=OPTION)
    (tmp_path / "in.csv").write_text("x\n1\n")
    told: list[str] = []

    def tell(df: pd.DataFrame) -> pd.DataFrame:
        told.append(repr(tuple(World.abroad(()).unseen)))
        return df

    muster.run(tell, tmp_path / "in.csv", tmp_path / "o.csv", workers=0)
    nothing_leaked(said="".join(told))
    assert told
    assert "OPTION4711" not in "".join(told)
    assert "***" in harmless(f"The server said {PASSWORD}.")


def test_a_run_in_a_thread_leaves_the_secrets_of_others_that_go_on(web: Web, tmp_path: Path) -> None:
    web.put("in.csv", b"x\n1\n")
    (tmp_path / "other.csv").write_text("x\n1\n")

    def meanwhile(df: pd.DataFrame) -> pd.DataFrame:
        other = threading.Thread(
            target=lambda: muster.run(lambda one: one, tmp_path / "other.csv", tmp_path / "p.csv", workers=0)
        )
        other.start()
        other.join()
        told.append(dict(World.here().unseen.urls))
        return df

    told: list[dict[str, str]] = []
    muster.run(meanwhile, signed(web, "in.csv"), tmp_path / "o.csv", workers=0)
    assert (tmp_path / "p.csv").exists()
    assert signed(web, "in.csv") in told[0].values()


OPTION = {"headers": {"X-Token": "OPTION4711"}}
OPTIONS: dict[str, dict[str, object]] = {
    "a header": {"http": {"headers": {"Authorization": "Bearer TOKEN4711", "Accept": "text/csv"}}},
    "a basic login": {"headers": {"Authorization": "Basic " + base64.b64encode(b"anna:TOKEN4711").decode()}},
    "some other header": {"headers": {"PRIVATE-TOKEN": "TOKEN4711"}},
    "a header of nobody's": {"headers": {"X-My-Own": "TOKEN4711"}},
    "bytes": {"client_kwargs": {"headers": {"X-Auth-Token": b"TOKEN4711"}}},
    "a pair": {"auth": ("anna", "TOKEN4711")},
    "a login": {"client_kwargs": {"proxy": "http://anna:TOKEN4711@proxy:1/"}},
    "a list": {"client_kwargs": {"headers": [("X-Api-Key", "TOKEN4711")]}},
    "a cookie": {"cookies": "session=TOKEN4711; theme=dark"},
    **{
        name: {name: "TOKEN4711"}
        for name in ("key", "secret", "sas", "sasToken", "storageKey", "refreshtoken", "pin", "x")
    },
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_every_text_of_a_storage_option_is_struck_out_unless_it_is_known_to_be_harmless(
    options: dict[str, object],
) -> None:
    set_options({**options, "endpoint_url": "http://minio:9000", "client_kwargs2": {"region_name": "eu-west-1"}})
    try:
        said = harmless("http://minio:9000 in eu-west-1 said text/csv and Bearer TOKEN4711, but TOKEN4711")
    finally:
        forget()
    assert TOKEN not in said
    assert said.startswith("http://minio:9000 in eu-west-1 said text/csv and ")


def test_the_name_of_a_cookie_is_no_secret() -> None:
    set_options({"cookies": "hours=TOKEN4711; sid=abcd=="})
    try:
        assert harmless("hours='1h', not TOKEN4711, not abcd==, not abcd") == "hours='1h', not ***, not ***==, not ***"
    finally:
        forget()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_function_that_quotes_an_option_leaves_it_in_no_file(
    web: Web, tmp_path: Path, home: Path, workers: int
) -> None:
    web.login = ""
    (tmp_path / "f.py").write_text(
        "def f(df):\n    if (df.a == 2).any(): raise ValueError('no: ' + 'TOKEN' + '4711')\n    return df\n"
    )
    options = {"headers": {"X-Api-Key": TOKEN}}
    url = web.put("in.csv", b"a\n1\n2\n", ETag='"1"')
    result = muster.run(f"{tmp_path}/f.py:f", url, tmp_path / "o.csv", storage_options=options, workers=workers)
    assert result.bad_rows == 1
    nothing_leaked(home, tmp_path, said=repr(result))


@pytest.mark.parametrize("output", ["o.csv", "o.parquet", "out/"])
def test_secrets_of_an_output_are_nowhere_not_even_there(tmp_path: Path, home: Path, output: str) -> None:
    store = fsspec.filesystem("memory").store
    url = f"memory://anna:{PASSWORD}@place/{output}"
    (tmp_path / "in.csv").write_text("a\n1\nx\n")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for fresh in (False, False, True):
            result = muster.run(lambda df: df, tmp_path / "in.csv", url, workers=0, dtype={"a": "int64"}, fresh=fresh)
            assert result.bad_rows == 1
    nothing_leaked(home, tmp_path, said=repr(result) + "".join(str(one.message) for one in warned))
    assert any(f"anna:{PASSWORD}@place/{output}".rstrip("/") in path for path in store)
    for path, file in store.items():
        assert PASSWORD.encode() not in file.getvalue(), path
    store.clear()


def test_secrets_of_an_output_that_is_refused_are_in_no_message(
    tmp_path: Path, home: Path, muster: Muster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    (tmp_path / "in.csv").write_text("a\n1\n")
    for output in (f"s3://AKIA:{PASSWORD}@bucket/o.csv", f"http://anna:{PASSWORD}@127.0.0.1:1/o.csv?sig={TOKEN}"):
        for name in ("in.csv", output):
            ended = muster("run", "f.py:same", name, "-o", output, "--json", "--format", "csv")
            is_refused = output.startswith("http") and name == "in.csv"  # before anybody is asked: HTTP takes nothing
            assert ended.code == (2 if is_refused else 3), ended.err
            nothing_leaked(home, tmp_path, said=ended.out + ended.err)


def test_no_process_has_secrets_in_its_title(web: Web, tmp_path: Path) -> None:
    """But the command that the user has typed, which every user of the computer may read."""
    web.login = "anna:ONLYHERE9"  # other tests type theirs, which are in titles meanwhile
    web.put("in.csv", b"x\n1\n")
    (tmp_path / "titles.py").write_text(
        "import pathlib\n"
        "def titles(df):\n"
        "    found = [p.read_bytes() for p in pathlib.Path('/proc').glob('[0-9]*/cmdline')]\n"
        "    return df.assign(found=sum(b'ONLYHERE9' in one for one in found))\n"
        "if __name__ == '__main__':\n"
        "    import muster, os\n"
        "    muster.run(titles, os.environ['URL'], 'o.csv', workers=1)\n"
    )
    environment = {**os.environ, "URL": web.url("in.csv", login=web.login)}
    subprocess.run([sys.executable, "titles.py"], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "o.csv").read_text() == "x,found\n1,0\n"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://anna:pw@h/in.csv?sig=1", "http://***@h/in.csv?***"),
        ("https://TOKEN@h/in.csv#part", "https://***@h/in.csv"),
        ("https://u:pa/ss@h/x.csv", "https://***@h/x.csv"),
        ("https://h:8080/x@y.csv", "https://h:8080/x@y.csv"),
        ("https://h/x?id=7&sv=2024&sp=r&se=2026-01-01&sig=a%2Bb", "https://h/x?id=7&***"),
        ("https://h/x?X-Goog-Signature=1&GoogleAccessId=me&Expires=17", "https://h/x?***"),
        ("ftp://anna:pw@h/x", "ftp://anna:***@h/x"),
        ("sftp://anna@h/x", "sftp://anna@h/x"),
        ("s3://AKIA:se/cret@bucket/a?.csv", "s3://AKIA:***@bucket/a?.csv"),
        ("s3://bucket/a?versionId=3/L4k", "s3://bucket/a?versionId=3/L4k"),
        ("s3://bucket/key=5/a?b=[1].csv", "s3://bucket/key=5/a?b=[1].csv"),
        ("abfs://container@account.dfs.core.windows.net/x", "abfs://container@account.dfs.core.windows.net/x"),
        ("zip://a.csv::https://u:pw@h/x.zip?token=1", "zip://a.csv::https://***@h/x.zip?***"),
        ("/a/b@c:d?sig=1.csv", "/a/b@c:d?sig=1.csv"),
    ],
)
def test_urls_are_shown_without_what_lets_somebody_in(url: str, expected: str) -> None:
    assert shown(url) == expected
    assert shown(expected) == expected
    assert whole(expected) == url


def test_two_files_that_differ_in_an_unknown_parameter_stay_two() -> None:
    one, other = shown("https://h/x?mark=ABCDEFG1"), shown("https://h/x?mark=ABCDEFG2")
    assert one != other
    assert "ABCDEFG" not in one + other


SHOWS = "import sys; from muster._private.secrets import shown; print(shown(sys.argv[1]))"


def shown_in_a_process(url: str, home: Path) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", SHOWS, url]
    return subprocess.Popen(words, env={**os.environ, "MUSTER_HOME": str(home)}, stdout=subprocess.PIPE, text=True)


def test_what_stands_for_an_unknown_parameter_is_the_same_for_this_user_and_tells_others_nothing(
    tmp_path: Path,
) -> None:
    url = "https://h/in.csv?foo=7"
    home, other = tmp_path / "home", tmp_path / "other"
    several = [shown_in_a_process(url, home) for _ in range(6)]  # which begin at the same time, and make one key
    first, *rest = [process.communicate()[0] for process in several]
    assert first.startswith("https://h/in.csv?foo=~")
    assert set(rest) == {first}
    assert shown_in_a_process(url, other).communicate()[0] != first
    assert [path.name for path in home.iterdir()] == [".key"]
    assert (home / ".key").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700
    guess = hashlib.sha256(b"7").hexdigest()[:8], hashlib.blake2b(b"7", digest_size=4).hexdigest()
    assert not any(one in first for one in guess)


@pytest.mark.parametrize("how", ["open to others", "short", "link", "folder"])
def test_a_key_that_somebody_else_may_have_is_not_used(tmp_path: Path, how: str) -> None:
    key = tmp_path / "home" / ".key"
    key.parent.mkdir(0o700)
    if how == "folder":
        key.mkdir()
    else:
        place = tmp_path / "elsewhere" if how == "link" else key
        place.write_bytes(b"k" * (3 if how == "short" else 32))
        place.chmod(0o644 if how == "open to others" else 0o600)
        if how == "link":
            key.symlink_to(place)
    known = hashlib.blake2b(b"7", key=b"k" * 32, digest_size=4).hexdigest()
    told = shown_in_a_process("https://h/in.csv?foo=7", key.parent).communicate()[0]
    assert "foo=~" in told
    assert known not in told
    if how == "open to others":  # then a new one takes its place, for all processes
        assert key.stat().st_mode & 0o077 == 0
        assert shown_in_a_process("https://h/in.csv?foo=7", key.parent).communicate()[0] == told


def test_a_url_that_a_library_mentions_has_no_digest() -> None:
    assert harmless("GET https://q.example/x?foo=7 403") == "GET https://q.example/x?foo=*** 403"


def test_a_run_of_a_url_with_unknown_parameters_goes_on(web: Web, tmp_path: Path, home: Path, muster: Muster) -> None:
    web.login = ""
    web.files["/in.csv?foo=7"], web.stamps["/in.csv?foo=7"] = b"x\n" + b"0\n" * 10_000 + b"1\n", {"ETag": '"a"'}
    command = (
        "run",
        "f.py:once_at_1",
        web.url("in.csv?foo=7"),
        "-o",
        "o.csv",
        "--workers",
        "0",
        "--batch-rows",
        "1000",
    )
    assert muster(*command, "--json").code == 9
    ended = muster(*command, "--json")
    assert ended.code == 0, ended.err
    assert ended.json["resumed_parts"] > 0
    guess = hashlib.sha256(b"7").hexdigest()[:8].encode()
    for path in (*home.rglob("*"), *tmp_path.rglob("*")):
        assert not path.is_file() or guess not in path.read_bytes()


def test_what_a_library_says_of_a_redirect_is_struck_out() -> None:
    assert harmless("GET https://q.s3/x?X-Amz-Signature=abc&id=1 403") == "GET https://q.s3/x?id=1&*** 403"


@pytest.mark.parametrize("status", [403, 404, 503])
def test_the_signature_of_a_redirect_is_struck_out_of_what_the_server_quotes(
    web: Web, tmp_path: Path, home: Path, muster: Muster, status: int
) -> None:
    web.quotes, web.login = True, "" if status != 403 else web.login
    web.moved["/r.csv"] = f"/in.csv?X-Amz-Signature={SIGNATURE}"
    if status == 503:
        web.put("in.csv", b"a\n1\n")
        web.broken.add("/in.csv")
    ended = muster("run", "f.py:same", web.url("r.csv"), "-o", "o.csv", "--workers", "0")
    assert ended.code == (3 if status == 503 else 2)
    nothing_leaked(home, tmp_path, said=ended.out + ended.err)


@pytest.mark.parametrize(
    "name",
    ["AWS_SESSION_TOKEN", "AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_KEY", "AZURE_STORAGE_CONNECTION_STRING", "HF_TOKEN"],
)
def test_a_credential_of_the_environment_is_struck_out_of_what_a_store_says_and_sent_nowhere(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "SESSION/TOKEN+88")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token.txt")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDVISIBLE")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/keys/project.json")
    filesystem("memory://place/in.csv")
    said = str(EngineError("AKIDVISIBLE, of /var/run/token.txt: SESSION/TOKEN+88 or SESSION%2FTOKEN%2B88 has expired"))
    assert said == "AKIDVISIBLE, of /var/run/token.txt: *** or *** has expired"
    assert str(EngineError("no file /keys/project.json")) == "no file /keys/project.json"
    assert not any("SESSION" in word for word in packed().words)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, True) for name in ("token", "api_key", "apiKey", "DB_PASSWORD", "auth", "secret_of_mine")),
        *((name, False) for name in ("key", "sort_key", "author", "tokenizer", "passenger", "n")),
    ],
)
def test_arguments_are_secret_by_whole_words_of_their_names(name: str, expected: bool) -> None:  # noqa: FBT001 (a case)
    assert is_secret(name) is expected
