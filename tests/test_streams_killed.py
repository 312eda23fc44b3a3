"""A stream whose ends are killed at any moment: each row is there once, in order."""

import functools
import gzip
import itertools
import json
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dying
from conftest import begun
from ends import HOST, Listening, listening, rows_of
from muster._streams.positions import Mark
from muster._streams.received import Received
from muster._streams.rotation import Rotation
from waiting import until

ROWS = 30_000
KILLS = 8


def kept(journal: Path) -> int:
    """Tell how many rows a receiver has noted."""
    lines = journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []
    return max((json.loads(line).get("rows", 0) for line in lines), default=0)


@pytest.mark.parametrize(("output", "flags"), [("out.csv", []), ("out.csv.gz", ["--rotate", "300kB"])])
def test_rows_are_there_once_and_in_order_however_often_both_ends_are_killed(
    tmp_path: Path, output: str, flags: list[str]
) -> None:
    seed = random.randrange(1 << 32)  # noqa: S311 (moments, no secrets)
    dice = random.Random(seed)  # noqa: S311 (likewise)
    rows = tmp_path / "rows.csv"
    rows.write_bytes(b"id,text\n" + b"".join(b"%d,%s\n" % (n, b"x" * (n % 90)) for n in range(ROWS)))
    journal = tmp_path / f"{output}.muster" / "received.jsonl"
    moments = sorted(dice.randrange(ROWS) for _ in range(KILLS))
    port = 0
    sending = [begun(tmp_path, "send", rows, "--to", f"{HOST}:1", "--give-up-after", "0s")]
    sending[-1].communicate()
    for moment in [*moments, ROWS]:
        with listening(tmp_path, "-o", output, *flags, *(["--once"] if moment == ROWS else []), port=port) as receiver:
            port = receiver.port
            if sending[-1].poll() is not None:
                sending[-1].communicate()  # closes its pipes, also where it was done and nobody killed it
                to = ("--to", f"{HOST}:{port}", "--rate", "20000")
                sending.append(begun(tmp_path, "send", rows, *to))
            if moment == ROWS:
                assert sending[-1].communicate(timeout=100)[0] == f"{ROWS:,} rows sent; {ROWS:,} acknowledged\n"
                assert receiver.ended()[0] == 0
            else:
                until(lambda moment=moment: kept(journal) >= moment)  # type: ignore[misc]  # of a loop
                kill_one(dice, receiver, sending[-1])
    paths = [tmp_path / output] if not flags else sorted(tmp_path.glob("out-*.csv.gz"))
    texts = [path.read_bytes() for path in paths]
    unpacked = [gzip.decompress(text) if flags else text for text in texts]
    assert [line for text in unpacked for line in text.splitlines()[1:]] == rows_of(rows), f"seed {seed}"
    assert {text.splitlines()[0] for text in unpacked} == {b"id,text"}


def kill_one(dice: random.Random, receiver: Listening, sender: "object") -> None:
    """Kill the sender, the receiver, or both."""
    chosen = dice.choice(["sender", "receiver", "both"])
    if chosen != "receiver":
        sender.kill()  # type: ignore[attr-defined]
        sender.communicate()  # type: ignore[attr-defined]
    if chosen != "sender":
        receiver.process.kill()
        receiver.ended()


steps = st.lists(
    st.one_of(
        st.tuples(st.just("rows"), st.integers(1, 5)),
        st.tuples(st.just("full"), st.booleans()),
        st.tuples(st.just("crash"), st.integers(0, 40)),
    ),
    max_size=15,
)


@given(steps, st.sampled_from(["out.csv", "out.csv.gz"]))
@settings(max_examples=60)
def test_what_was_committed_is_there_once_wherever_the_disk_was_torn(steps: list[tuple[str, int]], output: str) -> None:
    """Rows, full files that are or are not published, and crashes that leave the ends of both files half written."""
    with tempfile.TemporaryDirectory() as folder:
        here, number = Path(folder), 0
        received = Received(str(here / output), Rotation(size=1e9))
        received.take()
        for kind, how in steps:
            if kind == "rows":
                text = b"".join(b"%d,a row\n" % n for n in range(number, number + how))
                number += how
                received.commit(text, rows=how, marks={"s": Mark(number)}, header="id,text")
            elif kind == "full":
                piece = received.close_piece()
                if how and piece is not None:
                    received.publish(piece)
            else:
                received._close()  # noqa: SLF001 (as a process that is killed)
                received._lock.release()  # noqa: SLF001 (likewise)
                torn(here / f"{output}.muster", how)
                received = Received(str(here / output), Rotation(size=1e9))
                received.take()
                assert received.state.streams.get("s", Mark()).safe == number
        received.finish()
        received.release()
        paths = sorted(here.glob("out-*"))
        texts = [gzip.decompress(path.read_bytes()) if output.endswith(".gz") else path.read_bytes() for path in paths]
        assert [line for text in texts for line in text.splitlines()[1:]] == [b"%d,a row" % n for n in range(number)]
        assert {text.splitlines()[0] for text in texts} <= {b"id,text"}


def torn(folder: Path, by: int) -> None:
    """Leave what a crash may leave behind what is safe: half a row, and half a line of the journal."""
    [*_, last] = sorted(folder.glob("*.rows"))
    with last.open("ab") as file:
        file.write(b"9" * by)
    with (folder / "received.jsonl").open("ab") as file:
        file.write(b'{"size": 999999, "rows": 77'[: by % 28])


@pytest.mark.parametrize("output", ["out.csv", "out.csv.gz"])
def test_a_full_file_appears_once_wherever_its_receiver_is_killed_though_it_is_taken_away(
    tmp_path: Path, output: str
) -> None:
    for point in itertools.count(1):
        here = tmp_path / str(point)
        here.mkdir()
        received = Received(str(here / output), Rotation(size=1e9))
        received.take()
        received.commit(b"1,a row\n", rows=1, marks={}, header="id,text")
        piece = received.close_piece()
        assert piece is not None
        code, _ = dying.forked(functools.partial(_published, received, piece), dies_before=point)
        received.release()
        taken = [path.rename(tmp_path / f"taken-{point}") for path in here.glob("out-*")]
        again = Received(str(here / output), Rotation(size=1e9))
        again.take()
        again.release()
        assert len([*taken, *here.glob("out-*")]) == 1, point
        if not code:  # it has had fewer operations
            break
    assert point > 2


def _published(received: Received, piece: int) -> int:
    received.publish(piece)
    return 0
