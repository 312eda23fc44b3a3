"""Arguments of the function: typed, given in Python, and what a resume makes of them."""

import os
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import muster
from conftest import Muster

CODE = """
import functools
from pathlib import Path


def keyed(df, states):
    return df


def plain(df, n, name="x"):
    return df.assign(n=repr(n), name=repr(name))


def typed(df, n: int, x: float = 0, s: str = "", p: Path = None, b: bool = False, l: "list[int] | None" = None):
    return df.assign(got=repr((n, x, s, p, b, l)))


def anything(df, **named):
    return df.assign(got=repr(named))


class Limit:
    def __init__(self, limit: int, *, label="none"):
        self.limit, self.label = limit, label

    def __call__(self, df, more=0):
        return df[df.a < self.limit].assign(label=self.label)

    @staticmethod
    def double(df, by=2):
        return df.assign(a=df.a * by)

    @classmethod
    def named(cls, df):
        return df.assign(a=cls.__name__)

    def bare(self, df):
        return df


def decorated(function):
    @functools.wraps(function)
    def wrapper(*given, **named):
        return function(*given, **named)
    return wrapper


@decorated
def wrapped(df, n: int = 1):
    return df.assign(a=df.a + n)


bound = functools.partial(plain, n=5)
made = Limit(2)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "f.py").write_text(CODE)
    (tmp_path / "in.csv").write_text("a\n1\n2\n3\n")
    return tmp_path


def row(folder: Path, column: str) -> object:
    return pd.read_csv(folder / "out.csv", dtype=str, keep_default_na=False)[column][0]


def call(muster: Muster, name: str, *given: str, workers: int = 0) -> tuple[int, str]:
    flags = [word for one in given for word in ("--arg", one)]
    ended = muster("run", f"f.py:{name}", "in.csv", "-o", "out.csv", "--fresh", "--workers", str(workers), *flags)
    return ended.code, ended.err


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("3", "3"), ("x", "'x'"), ('"3"', "'3'"), ("[1, 2]", "[1, 2]"), ("true", "True"), ("False", "False")),
        *(("null", "None"), ("007", "'007'"), ("NaN", "'NaN'"), ("", "''"), ("a=b", "'a=b'"), ("1e3", "1000.0")),
    ],
)
def test_a_value_is_json_where_it_parses_as_json_and_else_text(
    folder: Path, muster: Muster, text: str, value: str
) -> None:
    assert call(muster, "plain", f"n={text}")[0] == 0
    assert row(folder, "n") == value


def test_the_annotation_of_a_parameter_decides_where_there_is_one(folder: Path, muster: Muster) -> None:
    assert call(muster, "typed", "n=3", "x=2", "s=7", "p=a/b", "b=yes", "l=[1,2]")[0] == 0
    assert row(folder, "got") == "(3, 2.0, '7', PosixPath('a/b'), True, [1, 2])"
    assert call(muster, "typed", "n=3", "l=null", "s=null")[0] == 0
    assert row(folder, "got") == "(3, 0, 'null', None, False, None)"


@pytest.mark.parametrize("name", ["n", "x", "b", "l"])
def test_a_value_that_is_none_of_its_type_is_a_usage_error(folder: Path, muster: Muster, name: str) -> None:
    code, said = call(muster, "typed", *([f"{name}=many"] if name == "n" else ["n=1", f"{name}=many"]))
    assert code == 2
    assert f"--arg {name}=many: typed(df, n: int" in said
    assert not (folder / "out.csv.muster").exists()


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("keyed", [], "in the file, and run that. If not, give it with --arg states=..."),
        ("plain", [], "plain(df, n, name='x') needs 'n' besides the batch. Give it with --arg n=..."),
        ("plain", ["n=1", "nmae=2"], "has no parameter 'nmae'. Did you mean --arg name=...?"),
        ("plain", ["n=1", "df=2"], "has no parameter 'df'. It takes: n, name."),
        ("plain", ["n=1", "n=2"], "--arg n=... is typed twice"),
        ("Limit", [], "Limit(limit: int, *, label='none') needs 'limit' when it is built"),
        ("Limit", ["limit=1", "more=2"], "its __call__ has, and that gets the batch alone"),
        ("Limit.bare", [], "is a method of an object of Limit, and there is none"),
        ("wrapped", ["m=1"], "wrapped(df, n: int = 1) has no parameter 'm'. It takes: n."),
    ],
)
def test_an_argument_that_is_unknown_or_missing_is_told_of_before_any_work(
    folder: Path, muster: Muster, name: str, given: list[str], said: str
) -> None:
    code, told = call(muster, name, *given)
    assert (code, said in told) == (2, True), told
    assert not (folder / "out.csv").exists()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("name", "given", "output"),
    [
        ("Limit", ["limit=3", "label=low"], "a,label\n1,low\n2,low\n"),
        ("Limit.double", ["by=3"], "a\n3\n6\n9\n"),
        ("Limit.named", [], "a\nLimit\nLimit\nLimit\n"),
        ("wrapped", ["n=2"], "a\n3\n4\n5\n"),
        ("made", [], "a,label\n1,none\n"),
        ("anything", ["z=1"], "a,got\n1,{'z': 1}\n2,{'z': 1}\n3,{'z': 1}\n"),
        ("bound", ["name=[]"], "a,n,name\n1,5,[]\n2,5,[]\n3,5,[]\n"),
    ],
)
def test_whatever_can_be_called_is_called_with_its_arguments(  # noqa: PLR0913, PLR0917 (a table)
    folder: Path, muster: Muster, workers: int, name: str, given: list[str], output: str
) -> None:
    code, said = call(muster, name, *given, workers=workers)
    assert code == 0, said
    assert (folder / "out.csv").read_text() == output


def scaled(df: pd.DataFrame, by: int | np.ndarray, offset: int = 0) -> pd.DataFrame:
    return df.assign(a=df.a * int(by) + offset)


class Scaled:
    def __init__(self, by: np.ndarray) -> None:
        self.by = by

    def __call__(self, df: pd.DataFrame) -> pd.DataFrame:
        return df.assign(a=df.a * int(self.by[-1]))


@pytest.mark.parametrize("workers", [0, 2])
def test_python_passes_its_values_on_as_they_are_each_step_its_own(folder: Path, workers: int) -> None:
    steps = muster.read_csv(folder / "in.csv").map_batches(scaled, args={"by": np.array(2)})
    steps = steps.map_batches(scaled, args={"by": 10, "offset": 1}).map_batches(f"{folder}/f.py:wrapped", args={"n": 5})
    steps.write_csv(folder / "out.csv").run(workers=workers)
    assert (folder / "out.csv").read_text() == "a\n26\n46\n66\n"
    many = np.full(300_000, 7)  # more than goes with a message
    muster.run(Scaled, folder / "in.csv", folder / "big.csv", args={"by": many}, workers=workers)
    assert (folder / "big.csv").read_text() == "a\n7\n14\n21\n"
    assert muster.check(scaled, folder / "in.csv", args={"by": 2}).row_wise


def test_in_python_an_error_names_args(folder: Path) -> None:
    with pytest.raises(muster.UsageError, match=r"Did you mean args=\{'offset': ...\}"):
        muster.run(scaled, folder / "in.csv", folder / "out.csv", args={"by": 2, "ofset": 1})
    with pytest.raises(muster.UsageError, match="it must be a mapping"):
        muster.run(scaled, folder / "in.csv", folder / "out.csv", args=["by"])  # type: ignore[arg-type]
    with pytest.raises(muster.UsageError, match="cannot be sent to workers"):
        muster.run(scaled, folder / "in.csv", folder / "out.csv", args={"by": threading.Lock()})


STOPS = """
from pathlib import Path

def f(df, n=1, api_key=""):
    if Path("stop").exists() and (df.a == 399).any():
        raise KeyboardInterrupt
    return df.assign(n=n)
"""


def test_a_resume_refuses_another_argument_unless_it_is_accepted(tmp_path: Path, muster: Muster, home: Path) -> None:
    (tmp_path / "f.py").write_text(STOPS)
    pd.DataFrame({"a": range(400)}).to_csv(tmp_path / "in.csv", index=False)
    (tmp_path / "stop").touch()
    run = ["run", "f.py:f", "in.csv", "-o", "out.csv", "--workers", "0", "--batch-rows", "50", "--arg"]
    secret = ["--arg", "api_key=hunter2hunter2"]
    assert muster(*run, "n=1", *secret).code != 0
    (tmp_path / "stop").unlink()
    journal = next((tmp_path / "out.csv.muster").glob("journal*")).read_text()
    assert "the argument 'n' of 'f'" in journal
    assert "hunter2" not in journal
    refused = muster(*run, "n=2", *secret)
    assert "the argument 'n' of 'f' was 1 and is 2 now" in refused.err
    assert "the argument 'api_key' of 'f' has changed" in muster(*run, "n=1", "--arg", "api_key=another").err
    accepted = muster(*run, "n=2", *secret, "--accept-changes", "--json")
    assert accepted.code == 0, accepted.err
    assert accepted.json["resumed_parts"] > 0
    assert set(pd.read_csv(tmp_path / "out.csv").n) == {1, 2}
    assert not any("hunter2" in path.read_text() for path in home.rglob("*.jsonl"))


NUMBERED = """
import os
AT_IMPORT = os.environ["MUSTER_WORKER"]

class Numbered:
    def __init__(self):
        self.worker, self.local = os.environ["MUSTER_WORKER"], os.environ["MUSTER_LOCAL_WORKER"]

    def __call__(self, df):
        if (df.a == 0).any() and not os.path.exists("died"):
            open("died", "w").close()
            os.kill(os.getpid(), 9)
        return df.assign(w=self.worker, l=self.local, i=AT_IMPORT, pid=os.getpid())
"""


@pytest.mark.parametrize("workers", [0, 3])
def test_a_worker_has_a_number_as_soon_as_its_code_is_loaded_and_whoever_replaces_it_has_the_same(
    tmp_path: Path, muster: Muster, workers: int
) -> None:
    (tmp_path / "f.py").write_text(NUMBERED)
    if not workers:
        (tmp_path / "died").touch()
    pd.DataFrame({"a": range(900)}).to_csv(tmp_path / "in.csv", index=False)
    ended = muster(
        *("run", "f.py:Numbered", "in.csv", "-o", "out.csv", "--workers", str(workers), "--batch-rows", "10")
    )
    assert ended.code == 0, ended.err
    out = pd.read_csv(tmp_path / "out.csv")
    assert (out.w == out.i).all()
    assert (out.w == out.l).all()
    assert set(out.w) <= set(range(max(workers, 1)))
    by_process = out.groupby("pid").w.nunique()
    assert (by_process == 1).all()
    assert "MUSTER_WORKER" not in os.environ


LEAKS = """
import os
def f(df):
    with open("calls", "a") as log:
        log.write(f"{os.getpid()} {len(df)}\\n")
    if (df.a == 777).any():
        raise ValueError("bad")
    return df.assign(b=df.a + 1)
"""


@pytest.mark.parametrize("most", [1, 3])
def test_a_worker_is_replaced_after_so_many_calls_and_no_row_is_lost_or_done_twice(
    tmp_path: Path, muster: Muster, home: Path, most: int
) -> None:
    (tmp_path / "f.py").write_text(LEAKS)
    pd.DataFrame({"a": range(700)}).to_csv(tmp_path / "in.csv", index=False)
    flags = ["--workers", "2", "--batch-rows", "50", "--calls-per-worker", str(most)]
    ended = muster("run", "f.py:f", "in.csv", "-o", "out.csv", *flags)
    assert ended.code == 0, ended.err
    calls = [line.split() for line in (tmp_path / "calls").read_text().splitlines()]
    assert max(pd.Series([pid for pid, _ in calls]).value_counts()) <= most
    assert [rows for _, rows in calls] == ["50"] * 14
    assert pd.read_csv(tmp_path / "out.csv").b.tolist() == list(range(1, 701))
    (journal,) = home.rglob("*.jsonl")
    text = journal.read_text()
    assert "a fresh worker takes its place" in text
    assert '"retried"' not in text


def test_a_bad_row_is_found_by_workers_that_are_replaced(tmp_path: Path, muster: Muster) -> None:
    (tmp_path / "f.py").write_text(LEAKS)
    pd.DataFrame({"a": range(700, 900)}).to_csv(tmp_path / "in.csv", index=False)
    flags = ["--workers", "2", "--batch-rows", "20", "--calls-per-worker", "2"]
    assert muster("run", "f.py:f", "in.csv", "-o", "out.csv", *flags).code == 4
    assert len(pd.read_csv(tmp_path / "out.csv")) == 199


@pytest.mark.usefixtures("folder")
def test_inline_there_is_no_worker_to_replace(muster: Muster) -> None:
    ended = muster("run", "f.py:made", "in.csv", "-o", "out.csv", "--workers", "0", "--calls-per-worker", "5")
    assert (ended.code, "--workers 0 has none" in ended.err) == (2, True)


@pytest.mark.parametrize(
    ("signature", "typed", "said"),
    [
        ("df, n, /", ("n=1",), "takes 'n' by its place alone, as it stands before the /"),
        ("df, n, /", (), "takes 'n' by its place alone, as it stands before the /"),
        ("df, n=1, /", ("n=1",), "Write the / before 'n'"),
        ("*, df, n=1", ("n=1",), "Write the parameter for the batch before the *, as in f(df, *, ...)."),
        ("*, df", (), "takes nothing by its place, and so the batch is given"),
        ("df, /, n=1", ("df=1",), "It takes: n. 'df' is the batch, which muster gives."),
        ("df, *, n", (), "needs 'n' besides the batch. Give it with --arg n=..."),
    ],
)
def test_parameters_that_are_given_by_place_or_by_name_alone_get_a_hint_that_helps(
    tmp_path: Path, muster: Muster, signature: str, typed: tuple[str, ...], said: str
) -> None:
    (tmp_path / "f.py").write_text(f"def f({signature}):\n    return df\n")
    (tmp_path / "in.csv").write_text("a\n1\n")
    flags = [word for one in typed for word in ("--arg", one)]
    ended = muster("run", "f.py:f", "in.csv", "-o", "out.csv", "--workers", "0", *flags)
    assert ended.code == 2, ended.err
    assert said in ended.err


@pytest.mark.parametrize("signature", ["df, /, n=1", "df, *, n=1", "*all, n=1", "df, /, **named"])
def test_such_parameters_do_where_they_can(tmp_path: Path, muster: Muster, signature: str) -> None:
    (tmp_path / "f.py").write_text(f"def f({signature}):\n    return {'all[0]' if '*all' in signature else 'df'}\n")
    (tmp_path / "in.csv").write_text("a\n1\n")
    ended = muster("run", "f.py:f", "in.csv", "-o", "out.csv", "--workers", "0", "--arg", "n=2")
    assert ended.code == 0, ended.err
