"""What is said where something went wrong: on every road out, by the command line and to a caller in Python."""

import ast
import contextlib
import json
import os
import pty
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import muster
from conftest import MUSTER, Muster, started
from muster._api.options import RunOptions
from muster._show.arguments import ARGUMENTS, in_python
from muster._worker.written import quoted
from muster.cli import parser

FUNCTIONS = """
import threading
def same(df): return df
def no_return(df): df["m"] = 1
def picky(df):
    if (df["n"] == 3).any(): raise ValueError("three is bad")
    return df
def slow(df):
    threading.Event().wait(60)
    return df
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "f.py").write_text(FUNCTIONS)
    (tmp_path / "rows.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(30)))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "kind", "code"),
    [
        (["run", "f.py:nope", "rows.csv", "-o", "out.csv"], "usage", 2),
        (["run", "f.py:same", "rows.csv", "-o", "out.csv", "--workers", "many"], "usage", 2),
        (["run", "f.py:same", "rows.csv", "-o", "out.csv", "--no-such-flag"], "usage", 2),
        (["run"], "usage", 2),
        (["run", "f.py:no_return", "rows.csv", "-o", "out.csv", "--workers", "0"], "user_code", 1),
        (["run", "f.py:picky", "rows.csv", "-o", "out.csv", "--strict", "--workers", "1"], "data", 1),
        (["runs", "--no-such-flag"], "usage", 2),
        (["status", "no/such/cluster", "--sideways"], "usage", 2),
    ],
    ids=lambda value: " ".join(value[1:]) if isinstance(value, list) else "",
)
def test_json_is_one_object_on_the_last_line_also_where_a_command_fails(
    folder: Path, muster: Muster, arguments: list[str], kind: str, code: int
) -> None:
    end = muster(*arguments, "--json")
    assert (end.code, end.json["exit_code"], end.json["kind"]) == (code, code, kind), end.err
    assert list(end.json) == ["error", "kind", "exit_code", "run"]
    assert end.json["error"].splitlines()[0] in end.err
    assert bool(end.json["run"]) == (code == 1)
    assert not (folder / "out.csv").exists()


def test_json_tells_of_an_interruption_too(folder: Path) -> None:
    with started(folder, "run", "f.py:slow", "rows.csv", "-o", "out.csv", "--json") as process:
        journal = folder / "out.csv.muster" / "journal.jsonl"
        while not journal.exists() or b'"phase":"working"' not in journal.read_bytes():
            assert process.poll() is None
        process.terminate()
        out, _ = process.communicate(timeout=60)
    told = json.loads(out.splitlines()[-1])
    assert (process.returncode, told["exit_code"], told["kind"]) == (143, 143, "terminated")
    assert told["run"]


def test_quiet_is_heard_where_the_exit_code_is_not_0(folder: Path, muster: Muster) -> None:
    command = ("run", "rows.csv", "-o", "out.csv", "--quiet", "--workers", "1")
    good = muster(command[0], "f.py:same", *command[1:])
    assert (good.code, good.out, good.err) == (0, "", "")
    some = muster(command[0], "f.py:picky", *command[1:])
    assert (some.code, some.out, len(some.err.splitlines())) == (4, "", 1)
    assert "1 bad row is in out.csv.rejects.jsonl" in some.err
    for failing, code in ((["f.py:no_return"], 1), (["f.py:nope"], 2)):
        end = muster(command[0], *failing, *command[1:])
        assert (end.code, end.out) == (code, "")
        assert end.err
    assert folder


def picky(frame: pd.DataFrame) -> pd.DataFrame:
    if frame["n"].isin([3, 5]).any():
        raise ValueError(f"row {frame['n'].iloc[0]} is bad")
    return frame


def test_rejected_rows_are_a_warning_at_the_line_that_called(folder: Path) -> None:
    with pytest.warns(muster.RejectedRowsWarning) as caught:
        muster.run(picky, folder / "rows.csv", folder / "out.csv", workers=0)
    with pytest.warns(muster.RejectedRowsWarning) as caught_of_a_pipeline:
        muster.read_csv(folder / "rows.csv").map_batches(picky).write_csv(folder / "out.csv").run(workers=0)
    for warning in (*caught, *caught_of_a_pipeline):
        assert warning.filename == __file__
        text = str(warning.message)
        assert "2 rows of 30" in text
        assert "row 3 is bad" in text
        assert f"{folder}/out.csv.rejects.jsonl" in text


def test_a_run_without_bad_rows_warns_of_nothing(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert muster.run(lambda frame: frame, folder / "rows.csv", folder / "out.csv", workers=0).bad_rows == 0


def test_the_command_line_gives_no_python_warning(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", *MUSTER[1:], "run", "f.py:picky", "rows.csv", "-o", "out.csv"],
        cwd=folder, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "Warning" not in done.stderr


@pytest.mark.parametrize(
    ("typed", "called"),
    [
        ("Or type the command again with --fresh.", "Or call again with fresh=True."),
        ("type the same command again", "make the same call again"),
        ("--dtype day=datetime makes it", "dtype={'day': 'datetime'} makes it"),
        ("--dtype 'Order Date=datetime,zip=str' makes", "dtype={'Order Date': 'datetime', 'zip': 'str'} makes"),
        ("Try fewer --workers.", "Try fewer workers."),
        ("allow more with --max-bad-rows, and", "allow more with max_bad_rows, and"),
        ("--batch-rows 100 makes", "batch_rows=100 makes"),
        ("--max-bad-rows 1% allows", "max_bad_rows='1%' allows"),
        ("--strict stops", "strict=True stops"),
        ("type: muster runs --json", "type: muster runs --json"),
        ("muster up NAME --machines N makes it", "muster up NAME --machines N makes it"),
        ("--dtype is for text", "dtype is for text"),
        ("a -- b, x--y", "a -- b, x--y"),
    ],
)
def test_python_is_told_arguments_where_the_command_line_is_told_flags(typed: str, called: str) -> None:
    assert in_python(typed) == called


def test_errors_in_python_come_without_muster_s_frames_and_with_the_user_s_own(folder: Path) -> None:
    def broken(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(day=frame["n"].str.upper())

    with pytest.raises(muster.UserCodeError, match=r"dtype=\{'n': 'str'\}") as raised:
        muster.run(broken, folder / "rows.csv", folder / "out.csv", workers=0)
    assert "in broken" in "".join(raised.value.__notes__)
    assert len(raised.traceback) <= 3
    assert "--" not in str(raised.value)


NO_MESSAGES = (
    *("_clouds/there/", "_clouds/over_ssh/starting.py", "_clouds/aws/user_data.py", "_clouds/aws/baking.py"),
    *("_verbs/", "_show/arguments.py"),
)
"""Where texts are commands of other programs, or help and errors that only a command line shows."""

NOT_OURS = {
    "map-public-ip-on-launch",
    *(
        "add",
        "allow-principal",
        "bootstrap-server",
        "create",
        "group",
        "operation",
        "resource-pattern-type",
        "topic",
        "transactional-id",
    ),  # Kafka's
}

FLAG = re.compile(r"(?<![\w-])--([a-z][a-z-]*[a-z])(?![\w=-])(?: ((?:'[^']*'|[^\s'])+))?")


def messages_with_flags() -> list[str]:
    """Read the messages of the program that name flags, with dots for what is put in; docstrings are none."""
    root = Path(muster.__file__).parent
    texts: list[str] = []
    for path in sorted(root.rglob("*.py")):
        if not str(path.relative_to(root)).startswith(NO_MESSAGES):
            texts += texts_of(list(ast.walk(ast.parse(path.read_text()))))
    return [text for text in texts if FLAG.search(text) and " " in text]


def texts_of(nodes: list[ast.AST]) -> list[str]:
    passed_over = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    passed_over |= {id(value) for node in nodes if isinstance(node, ast.JoinedStr) for value in node.values}  # noqa: PD011 (no frame)
    wanted = [node for node in nodes if id(node) not in passed_over]
    plain = [node.value for node in wanted if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return plain + [text_of(node) for node in wanted if isinstance(node, ast.JoinedStr)]


def text_of(node: ast.JoinedStr) -> str:
    return "".join(str(one.value) if isinstance(one, ast.Constant) else "…" for one in node.values)  # noqa: PD011 (no frame)


def flags_of_all_verbs() -> set[str]:
    """List the flags of the command line, without their dashes."""
    (verbs,) = (one.choices for one in parser()._actions if isinstance(one.choices, dict))  # noqa: SLF001 (argparse tells them nowhere else)
    found: set[str] = set()
    for verb in verbs.values():
        actions = verb._actions  # noqa: SLF001 (likewise)
        for deeper in [one.choices.values() for one in actions if isinstance(one.choices, dict)]:
            actions = [*actions, *(action for each in deeper for action in each._actions)]  # noqa: SLF001 (likewise)
        found |= {flag.removeprefix("--") for action in actions for flag in action.option_strings}
    return found


def test_every_flag_of_a_message_is_one_of_the_command_line() -> None:
    flags = flags_of_all_verbs() | NOT_OURS
    messages = messages_with_flags()
    assert len(messages) > 100
    assert [text for text in messages if {match[1] for match in FLAG.finditer(text)} - flags] == []


def test_every_message_names_arguments_in_python_with_values_that_python_can_read() -> None:
    for text in messages_with_flags():
        told = in_python(text)
        without_commands = re.sub(r"\bmuster (?:up|down|run|setup)\b(?:[^.;:]|[.;:](?!\s|$))*", "", told)
        assert not {match[1] for match in FLAG.finditer(without_commands)} & ARGUMENTS.keys(), told
        for flag, word in FLAG.findall(text):
            if flag not in ARGUMENTS:
                continue
            spelled = in_python(f"--{flag} {word}".rstrip(".,:;?) ")).removesuffix(f" {word}")
            if "=" in spelled:
                ast.parse(f"f({spelled})".replace("{…", "{'…'").replace("=…", "='…'"))


def test_no_word_of_prose_is_taken_for_a_value() -> None:
    values = {"csv", "jsonl", "parquet", "local", "aws", "replace"}
    for text in messages_with_flags():
        for flag, word in FLAG.findall(text):
            bare = word.rstrip(".,:;?)")
            if flag in ARGUMENTS and bare.isalpha() and bare.islower() and bare not in values:
                assert in_python(f"--{flag} {bare}").endswith(f" {bare}"), (text, f"PROSE lacks {bare!r}")


def test_every_option_that_a_message_names_is_told_to_python_as_an_argument_if_there_is_one() -> None:
    arguments = RunOptions.__annotations__.keys()
    named = {flag for text in messages_with_flags() for flag, _ in FLAG.findall(text)}
    assert {flag for flag in named - ARGUMENTS.keys() if flag.replace("-", "_") in arguments} == set()
    others = {"args", "inputs", "output", "muster.run_each", "muster.run_since_last"}
    assert {one.name for one in ARGUMENTS.values()} <= arguments | others


TYPED = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8)


@pytest.mark.parametrize("flag", ["encoding", "sep", "date-format", "on", "with", "na-values", "names"])
@given(value=TYPED)
def test_whatever_is_typed_for_an_option_is_the_same_value_in_python(flag: str, value: str) -> None:
    argument, _, told = in_python(f"So say --{flag} {quoted(value)}, and go on.").partition("=")
    assert told.endswith(", and go on.")
    read = ast.literal_eval(told.removesuffix(", and go on."))
    assert argument == f"So say {ARGUMENTS[flag].name}"
    assert read == ([value] if flag == "with" else value.split(",") if flag in {"na-values", "names"} else value)


@given(st.dictionaries(TYPED.filter(lambda one: not set(one) & set(",=")), st.sampled_from(["str"]), min_size=1))
def test_types_that_are_typed_are_the_same_in_python(types: dict[str, str]) -> None:
    typed = shlex.quote(",".join(f"{name}={kind}" for name, kind in types.items()))
    assert ast.literal_eval(in_python(f"--dtype {typed}: no").removesuffix(": no").removeprefix("dtype=")) == types


@pytest.mark.parametrize(
    ("typed", "called"),
    [
        ("with --timeout 60s a call", "with timeout=60 a call"),
        ("say --quote ''.", "say quotechar=''."),
        ("say so: --sep $'\\t'.", "say so: sep='\\t'."),
        ("--env KEY: it is not set", "env=['KEY']: it is not set"),
        ("--with a.pkl: no such file", "with_files=['a.pkl']: no such file"),
        ("Type for example --dtype A=int64,B=str.", "Pass for example dtype={'A': 'int64', 'B': 'str'}."),
        ("Give it again: --input URL.", "Give it again: inputs='URL'."),
        ("with the mark of UTF-16: type --encoding utf-16", "with the mark of UTF-16: pass encoding='utf-16'"),
        ("say --format csv, jsonl or parquet.", "say format='csv', 'jsonl' or 'parquet'."),
        ("Type for example --arg since=2026-01-01.", "Pass for example args={'since': '2026-01-01'}."),
        ("a list is --arg sizes='[1, 2]'.", "a list is args={'sizes': [1, 2]}."),
        ("sent with --with: a, b", "sent with with_files: a, b"),
        ("-o out.csv: with --each it is a folder", "output='out.csv': with muster.run_each it is a folder"),
        ("Type --region eu-central-1.", "Type --region eu-central-1."),
        ("try: muster run F IN -o try.csv --limit 9", "try: muster run F IN -o try.csv --limit 9"),
        ("Say --dtype n=float64, or run", "Say dtype={'n': 'float64'}, or run"),
        ("--on mars: there is no such cloud", "on='mars': there is no such cloud"),
        ("Type the same command again", "Make the same call again"),
        ("say --format csv if it is", "say format='csv' if it is"),
        ("Correct --storage-option, then", "Correct storage_options, then"),
    ],
)
def test_values_are_spelled_as_in_python(typed: str, called: str) -> None:
    assert in_python(typed) == called


OWN_WORDS = "ValueError: call tool --fresh --timeout 5s --max-bad-rows 3, or type the command again"


@pytest.mark.parametrize("workers", [0, 1])
def test_what_the_users_own_error_says_is_not_put_in_another_way_for_python(folder: Path, workers: int) -> None:
    def fails(_: pd.DataFrame) -> pd.DataFrame:
        raise ValueError(OWN_WORDS.removeprefix("ValueError: "))

    with pytest.raises(muster.UserCodeError) as stopped:
        muster.run(fails, folder / "rows.csv", folder / "out.csv", workers=workers)
    assert OWN_WORDS in str(stopped.value)

    def fails_on_some(df: pd.DataFrame) -> pd.DataFrame:
        return fails(df) if (df["n"] > 20).any() else df

    with pytest.raises(muster.TooManyBadRowsError) as many:
        muster.run(fails_on_some, folder / "rows.csv", folder / "out.csv", workers=workers, max_bad_rows=1)
    assert OWN_WORDS in str(many.value)
    assert "Or allow more with max_bad_rows," in str(many.value)

    class CannotBeBuilt:
        def __init__(self) -> None:
            fails(pd.DataFrame())

        def __call__(self, df: pd.DataFrame) -> pd.DataFrame:
            return df

    with pytest.raises(muster.UserCodeError) as unbuilt:
        muster.run(CannotBeBuilt, folder / "rows.csv", folder / "out.csv", workers=workers)
    assert OWN_WORDS in str(unbuilt.value)
    assert "make the same call again" in str(unbuilt.value)


RETRIES = """
import sys
import muster

def good(df):
    print("printed by the function")
    return df

def picky(df):
    if (df["n"] == 3).any():
        raise ValueError("bad")
    return df

if __name__ == "__main__":
    muster.run(picky, "rows.csv", "out.csv", workers=1, progress=False)
    print("retries", file=sys.stderr, flush=True)
    muster.retry("out.csv", good, workers=1, accept_changes=True)
"""


def test_a_retry_in_python_shows_a_bar_on_a_terminal_that_prints_do_not_tear(folder: Path) -> None:
    (folder / "script.py").write_text(RETRIES)
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    command = [sys.executable, "-W", "ignore", "script.py"]
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=theirs, stdout=theirs) as process:
        os.close(theirs)
        text = b""
        with contextlib.suppress(OSError):  # as Linux says that nobody has the terminal open any more
            while data := os.read(ours, 1 << 16):
                text += data
    os.close(ours)
    assert process.returncode == 0, text.decode()
    after = text.decode().partition("retries")[2]
    assert "rows/s" in after
    lines = [line.rpartition("\r")[2] for line in after.splitlines()]
    assert any(line.endswith("printed by the function") for line in lines)
    assert "\x1b[" in after.partition("printed by the function")[0]
