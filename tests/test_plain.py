"""What machines send home is data: whoever speaks in their place runs nothing here, and writes nowhere else."""

import importlib
import inspect
import pickle
import pkgutil
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bodies
import muster
from muster import DataError, EngineError, UserCodeError
from muster._clouds.over_ssh.listing import facts
from muster._dialects import Dialect
from muster._engines.base import Began, Done, Failed, Joined, Left, Lost, Message, Told, wait
from muster._engines.frames import GarbledError
from muster._engines.on_ray import nouns
from muster._engines.on_ray.engine import RayEngine
from muster._engines.on_ray.nouns import answer_of, fits
from muster._engines.on_ray.plain import decode, encode
from muster._engines.on_ray.station import Ended, Printed, written
from muster._formats._questions import Footer, Head, Locate, Observe, Scan
from muster._formats.layouts import FileLayout
from muster._formats.state_records import KeyCount, record
from muster._model import (
    Column,
    Exchange,
    Grouping,
    LaneShare,
    Load,
    LocalCopy,
    Outcome,
    Piece,
    PieceLocation,
    Reason,
    Schema,
    StageKind,
    StepMeasure,
    StoredStates,
    Target,
    Task,
)
from muster._travel.carried_states import check_states
from muster._travel.codec import compressed
from muster._travel.parcels import Returned, Unanswered, opened
from muster._user_code.described import Described
from muster._user_code.questions import Describe
from muster._user_code.world import World

TASK = Task(7, 0, 1, 0, 0, 90, 0, 5, 0, 5, LocalCopy("é\udce9", 3), Schema(("a",), (("int",),)))
PIECE = Piece("2-7.rows", 4, 1, 5)
OUTCOME = Outcome(
    TASK,
    5,
    5,
    output=PIECE,
    schema=Schema(("a",), (("int", "text"),)),
    steps=(StepMeasure(5, 5, 1, 0.25, {-3: 1}),),
    reasons=(Reason("f", "e", 1, "x"),),
    load=Load(0.5, 2, 3, 4, 5),
    misfits={"a": frozenset({"text"})},
)
RETURNED = Returned(OUTCOME, {"2-7.rows": (compressed(b"rows"), 4)})
SAID = [
    *(Began(1, "w"), Done(1, RETURNED, "w"), Done(1, None), Failed(1, KeyError("x"), "w"), Lost(1, "died", began=True)),
    *(Joined("w", "m"), Left("w", "why"), Told("text"), Printed("1", b"\xff\n"), Ended()),
    *(Done(1, {"a": [1.5, None, (True, b"x", {2}, frozenset())]}), Done(1, [Described("f", ())])),
    *(Done(1, Unanswered(DataError("no"), (), ())), Done(1, Column("a", frozenset({"int"}))), Done(1, -(1 << 200))),
]
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text(), inner)
        | st.frozensets(st.text() | st.integers())
    ),
    max_leaves=20,
)


def same(one: Any, other: Any) -> bool:  # noqa: ANN401 (whatever comes home)
    """Compare, also errors, which are equal to none."""
    if isinstance(one, Failed):
        return type(one.error) is type(other.error) and str(one.error) == str(other.error)
    if isinstance(one, Done) and isinstance(one.answer, Unanswered):
        return str(one.answer.error) == str(other.answer.error)
    return bool(one == other)


@pytest.mark.parametrize("said", SAID, ids=lambda said: type(said).__name__)
def test_what_a_machine_says_comes_home_as_it_was(said: object) -> None:
    assert same(said, decode(encode(said)))


@given(PLAIN)
def test_plain_data_comes_home_as_it_was(value: object) -> None:
    assert decode(encode(value)) == value


@pytest.mark.parametrize(
    "error",
    [
        UserCodeError("message", "details"),
        FileNotFoundError(2, "No such file", "here"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"),
        MemoryError(),
        KeyError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_home_as_its_kind_with_its_words(error: Exception) -> None:
    found = decode(encode(error))
    assert type(found) is type(error)
    assert (str(found), vars(found)) == (str(error), vars(error))


def test_an_error_that_home_does_not_know_comes_as_the_nearest_that_it_does() -> None:
    class OddError(KeyError):
        pass

    found = decode(encode(OddError("x")))
    assert (type(found), found.args) == (KeyError, ("x",))


def test_an_answer_that_is_no_plain_data_is_a_failure_of_its_request() -> None:
    found = decode(written(Done(3, lambda: None, "w")))
    assert isinstance(found, Failed)
    assert (found.ticket, "function" in str(found.error)) == (3, True)


# What is none of ours


class Runs:
    """What pickle would run."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.mark,)


def spelled(tag: bytes, *parts: bytes) -> bytes:
    return tag + b"".join(struct.pack("!Q", len(part)) + part for part in parts)


GARBLED = {
    "nothing": b"",
    "no tag": b"\x00",
    "a size beyond all": b"s" + b"\xff" * 8,
    "a list beyond all": b"l" + b"\xff" * 8 + b"N",
    "half a number": b"f\x00",
    "no number": spelled(b"i", b"one"),
    "a number beyond all": spelled(b"i", b"9" * 10_000),
    "no text": spelled(b"s", b"\xff"),
    "what follows": b"NN",
    "nested without end": b"l\0\0\0\0\0\0\0\1" * 100_000 + b"N",
    "a set of lists": encode([[]]).replace(b"l", b"z", 1),
    "a key that is a list": b"d" + struct.pack("!Q", 1) + encode([]) + b"N",
    "another noun": spelled(b"o", b"Target") + encode([]),
    "a noun of another module": spelled(b"o", b"os.system") + encode(["true"]),
    "a noun that lacks fields": spelled(b"o", b"LocalCopy") + encode(["x"]),
    "a noun of nothing": spelled(b"o", b"LocalCopy") + b"N",
    "a field of another kind": spelled(b"o", b"LocalCopy") + encode([7, 3]),
    "a field within": spelled(b"o", b"Began") + encode([1, ["w"]]),
    "no error": b"e" + encode(["system", ("true",), []]),
    "an error that ends programs": b"e" + encode(["SystemExit", (0,), []]),
    "an error without words": b"e" + encode(["UnicodeDecodeError", (0,), []]),
    "a module as an error": b"e" + encode(["annotations", (), []]),
}


@pytest.mark.parametrize("data", GARBLED.values(), ids=GARBLED)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(GarbledError):
        decode(data)


@settings(max_examples=500)
@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    with suppress(GarbledError):
        decode(data)


@given(st.data(), st.sampled_from(SAID))
def test_no_message_that_is_spoilt_does_more_than_be_refused(data: st.DataObject, said: object) -> None:
    spoilt = bytearray(encode(said))
    for at in data.draw(st.lists(st.integers(0, len(spoilt) - 1), max_size=4)):
        spoilt[at] = data.draw(st.integers(0, 255))
    with suppress(GarbledError):
        decode(bytes(spoilt[: data.draw(st.integers(0, len(spoilt)))]))


def test_pickle_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(GarbledError):
            decode(pickle.dumps(Runs(mark), protocol))
    assert not mark.exists()


def test_all_questions_that_travel_say_what_answers_them() -> None:
    assert answer_of(Describe) == list[Described]
    assert answer_of(Footer) == FileLayout
    assert not fits(TASK, answer_of(Footer))
    for question in (Scan, Head, Locate, Observe, Describe, Footer):
        assert not fits(Target("file"), answer_of(question))
    assert fits([1, 2], answer_of(Locate))
    assert not fits([1, True], answer_of(Locate))


def leaves(hint: Any) -> Iterator[Any]:  # noqa: ANN401 (a hint)
    inner = get_args(hint)
    for one in inner:
        yield from leaves(one)
    if not inner:
        yield hint


def test_nothing_answers_a_question_that_could_not_come_home() -> None:
    asked = 0
    for module in pkgutil.walk_packages(muster.__path__, "muster."):
        if "playbooks" in module.name or module.name == "muster.__main__":
            continue
        for kind in vars(importlib.import_module(module.name)).values():
            if (
                isinstance(kind, type)
                and kind.__module__ == module.name
                and inspect.isfunction(vars(kind).get("answer"))
            ):
                asked += 1
                for leaf in leaves(answer_of(kind)):
                    name = leaf.__name__ if isinstance(leaf, type) else ""
                    known = leaf in {Any, ...} or getattr(leaf, "__module__", "") == "builtins"
                    assert known or name in nouns._HOMES, f"{kind}: add {name} to what may come home"  # noqa: SLF001 (likewise)
    assert asked > 8


def test_every_noun_that_comes_home_is_found_there() -> None:
    for name, module in nouns._HOMES.items():  # noqa: SLF001 (the list itself)
        kind = getattr(__import__(module, fromlist=[name]), name)
        assert nouns.named(kind) is not None
        assert not hasattr(kind, "__post_init__")


# A head that says what it likes


HEAD = """
import os, sys
from multiprocessing.connection import Connection
from muster._engines.on_ray import hello
hello.say(1)
hello.answer(0)
reading = Connection(0, writable=False)
reading.recv_bytes()
os.write(1, open("{folder}/said", "rb").read())
reading.recv_bytes()
os.write(1, open("{folder}/then", "rb").read())
sys.stdin.read()
"""


@pytest.fixture
def head(tmp_path: Path) -> Iterator[Callable[..., RayEngine]]:
    """Make an engine whose driver says hello, then some bytes, and others when it is told something."""
    engines: list[RayEngine] = []

    def make(said: bytes, then: bytes = b"") -> RayEngine:
        for name, what in (("said", said), ("then", then)):
            (tmp_path / name).write_bytes(what)
        (tmp_path / "head.py").write_text(HEAD.format(folder=tmp_path))
        through = ("sh", "-c", f"exec {sys.executable} {tmp_path / 'head.py'}; true")
        engine = RayEngine(bodies.obedient_engine, address="", environment={}, through=through, world=World.here())
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        with closing(engine):
            pass


def framed(*messages: object) -> bytes:
    each = [message if isinstance(message, bytes) else encode(message) for message in messages]
    return b"".join(struct.pack("!i", len(one)) + one for one in each)


OPENED, READY = ("opened", 1, "m1"), ("heard", 1, [encode(Joined("w", "m1"))])
HOSTILE = {
    "a length beyond all": struct.pack("!iQ", -1, 1 << 60),
    "a length below zero": struct.pack("!i", -7),
    "garbage": framed(b"garbage"),
    "a verb of its own": framed(("close",)),
    "a private verb": framed(("_gone",)),
    "no verb": framed(7),
    "too much": framed((*OPENED, "more")),
    "another kind": framed(("opened", "1", "m1")),
    "a station that is not there": framed(("heard", 9, [])),
    "the end of one that is not there": framed(("closed", 9, "why")),
    "files laid out where none is": framed(("laid_out", 9)),
    "a ticket that nobody gave": framed(OPENED, ("heard", 1, [encode(Done(5, "x", "w"))])),
    "the beginning of what nobody gave": framed(OPENED, ("heard", 1, [encode(Began(5, "w"))])),
    "what no machine says": framed(OPENED, ("heard", 1, [encode(TASK)])),
    "garbage of a machine": framed(OPENED, ("heard", 1, [b"garbage"])),
}


def wait_for_error(engine: RayEngine) -> EngineError:
    with pytest.raises(EngineError) as caught:  # noqa: PT012 (it may take some)
        while True:
            wait(engine, 30)
    return caught.value


@pytest.mark.parametrize("said", HOSTILE.values(), ids=HOSTILE)
def test_a_head_that_says_what_muster_does_not_ends_the_run_in_words(
    head: Callable[..., RayEngine], said: bytes
) -> None:
    told = str(wait_for_error(head(said)))
    assert "says what muster never says there" in told
    assert "muster up" in told


def test_pickles_of_a_head_and_of_a_machine_run_nothing(head: Callable[..., RayEngine], tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    bad = pickle.dumps(Runs(mark))
    for said in (framed(bad), framed(OPENED, ("heard", 1, [bad])), framed(OPENED, READY, bad)):
        assert "says what muster never says there" in str(wait_for_error(head(said)))
    assert not mark.exists()


def test_an_answer_to_another_question_is_refused(head: Callable[..., RayEngine]) -> None:
    for answer in ("x", [1, "2"]):
        engine = head(framed(OPENED, READY), framed(("heard", 1, [encode(Done(5, answer, "w"))])))
        while not any(slots.idle for slots in engine.slots().values()):
            wait(engine, 30)
        engine.submit(5, Locate("", 0, 0, (), Dialect()), machine="m1")
        assert "answers a request with" in str(wait_for_error(engine))


# A worker that sends what it likes


@pytest.mark.parametrize(
    "returned",
    [
        None,
        OUTCOME,
        replace(RETURNED, outcome=OUTCOME._replace(task=TASK._replace(number=8))),
        *(
            Returned(OUTCOME._replace(output=PIECE._replace(name=name)), {name: (compressed(b"rows"), 4)})
            for name in ("../2-7.rows", "/tmp/2-7.rows", "..", "", "2-8.rows", "1-7.rows", "2-7.rejects", "2-7.rows\n")  # noqa: S108 (none is written)
        ),
        replace(RETURNED, outcome=OUTCOME._replace(output=PIECE._replace(location=PieceLocation("../../secret", 0)))),
        replace(RETURNED, outcome=OUTCOME._replace(rejects=PIECE._replace(name="../x.rejects"))),
        replace(RETURNED, outcome=OUTCOME._replace(states=PIECE._replace(name="../x.states"))),
        replace(RETURNED, pieces={**RETURNED.pieces, "../2-7.rows": (b"", 0)}),
        replace(RETURNED, pieces={"2-7.rows": (compressed(b"rows"), 5)}),
        replace(RETURNED, pieces={"2-7.rows": (b"garbage", 4)}),
        replace(
            RETURNED,
            outcome=OUTCOME._replace(output=PIECE._replace(bytes=1 << 60)),
            pieces={"2-7.rows": (compressed(b"rows"), 1 << 60)},
        ),
        replace(
            RETURNED,
            outcome=OUTCOME._replace(output=PIECE._replace(bytes=-4)),
            pieces={"2-7.rows": (compressed(b"rows"), -4)},
        ),
    ],
    ids=lambda returned: type(returned).__name__,
)
def test_pieces_that_a_task_cannot_have_are_refused(returned: object) -> None:
    with pytest.raises(ValueError, match=r"an answer to something else|a piece "):
        opened(TASK, returned, prefix="2")


STATES = record(1, 5, b"pickle", is_whole=True, keys=KeyCount(1, is_of_all=True))[1]
EXCHANGE = Exchange(Grouping(("k",)), StageKind.GROUPING, StoredStates("log", 1), shares=(LaneShare.of(5),))


@pytest.mark.parametrize(
    "data",
    [
        *(None, STATES[:-1], STATES + b"x", STATES.replace(b"pickle", b"packed"), b"MST1" + STATES[4:]),
        *(record(*place, b"", is_whole=True, keys=KeyCount(0, is_of_all=True))[1] for place in ((1, 6), (3, 5))),
    ],
    ids=["none", "cut", "longer", "other bytes", "another version", "another lane", "another stage"],
)
def test_states_that_a_task_cannot_have_are_refused(data: bytes | None) -> None:
    outcome = OUTCOME._replace(states=PIECE._replace(name="2-7.states"))
    check_states(outcome, STATES * 2, EXCHANGE)
    with pytest.raises(ValueError, match=r"states|no record"):
        check_states(outcome, data, EXCHANGE)
    with pytest.raises(ValueError, match="of a task that has none to tell"):
        check_states(outcome, STATES, EXCHANGE._replace(stored=None))


def test_pieces_of_a_task_are_taken() -> None:
    assert opened(TASK, RETURNED, prefix="2") == (RETURNED, {"2-7.rows": b"rows"})


def test_a_host_tells_numbers_of_its_machine_and_not_whose_it_is() -> None:
    told = {"lease": 900.0, "busy": "many", "disk": [], "workers": 9, "is_head": True, "address": "10.0.0.9", "left": 8}
    assert facts(told) == {"lease": 900.0, "left": 8}


def test_what_the_engine_of_a_machine_ended_with_is_not_taken_for_the_end_of_the_line(
    head: Callable[..., RayEngine],
) -> None:
    engine = head(framed(OPENED, ("heard", 1, [encode(EOFError("a file of the function's"))])))
    with pytest.raises(EngineError, match="have ended: EOFError: a file of the function's"):  # noqa: PT012 (it may take some)
        while True:
            wait(engine, 30)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (("heard", 1, [encode(EngineError("Workers die before they are ready"))]), "Workers die before they are ready"),
        (("cannot_take", 1, "No space left", True, True), "its disk is full (No space left)"),
        (("cannot_take", 1, "Input/output error", False, True), "it cannot take files (Input/output error)"),
    ],
)
def test_a_machine_that_cannot_go_on_is_put_aside_where_there_is_another(
    head: Callable[..., RayEngine], said: tuple[object, ...], why: str
) -> None:
    told_to = framed(("closed", 1, "its machine is put aside"), ("heard", 2, [encode(Ended())]))
    engine = head(framed(OPENED, ("opened", 2, "m2"), said), told_to)
    events: list[Message] = []
    while not events:
        events += wait(engine, 30)
    (told,) = events
    assert isinstance(told, Told)
    assert told.text.startswith("machine m1 is put aside: ")
    assert why in told.text


def test_files_that_were_changed_while_they_were_sent_stop_the_run_whatever_machines_there_are(
    head: Callable[..., RayEngine],
) -> None:
    engine = head(framed(OPENED, ("opened", 2, "m2"), ("cannot_take", 1, "a.bin was changed", False, False)))
    assert "a.bin was changed" in str(wait_for_error(engine))
