"""States of rows that come over TCP: whatever is killed, they are those of one run over the rows."""

import random
from pathlib import Path

from ends import END, HOST, listening
from streaming import joined, killed_at_work, rows_out, streaming
from test_listen import free_port

CODE = """
import muster
import pandas as pd

def running(df, states):
    totals = []
    for key, amount in zip(df["key"], df["n"]):
        states[key] += amount
        totals.append(states[key])
    return df.assign(total=totals, at=df.index)

class Buffer:
    def __call__(self, df, states):
        rows = pd.concat([states[None], df])
        full = len(rows) // 100 * 100
        states[None] = rows[full:]
        return rows[:full].assign(pack=full)
    def at_end(self, states):
        rest, states[None] = states[None], pd.DataFrame()
        return rest.assign(pack=len(rest))

def doubled(df):
    return df.assign(double=df["n"] * 2)

pipeline = muster.listen_tcp("127.0.0.1:{port}", every=0.0, spool_bytes=100_000)
pipeline = {rest}
"""
RUNNING = 'pipeline.key_by("key").map_batches(running, state=int).write_csv("out/")'
BUFFERED = (
    'pipeline.map_batches(Buffer, state=pd.DataFrame).map_batches(doubled).send_tcp("127.0.0.1:{to}", folder="out")'
)


def test_totals_of_rows_over_tcp_go_on_whatever_is_killed(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)  # noqa: S311 (moments, no secrets)
    dice, count, port = random.Random(seed), 30_000, free_port()  # noqa: S311 (likewise)
    rows = [(dice.choice("abcdefgh"), n) for n in range(count)]
    (tmp_path / "in.csv").write_text("key,n\n" + "".join(f"{key},{n}\n" for key, n in rows))
    (tmp_path / "pipeline.py").write_text(CODE.format(port=port, rest=RUNNING))
    send = ("send", "in.csv", "--to", f"{HOST}:{port}", "--rate", "10000")
    print(f"seed {seed}")  # noqa: T201 (shown where it fails)
    killed_at_work(tmp_path, send, dice, times=3, done=rows_out, most=range(1, 6000))
    totals, oracle = dict.fromkeys("abcdefgh", 0), ["key,n,total,at\n"]
    for at, (key, n) in enumerate(rows):
        totals[key] += n
        oracle.append(f"{key},{n},{totals[key]},{at}\n")
    assert joined(tmp_path) == "".join(oracle), f"seed {seed}"


def test_a_buffer_over_tcp_gives_full_packs_and_the_rest_at_the_end(tmp_path: Path) -> None:
    with listening(tmp_path, "-o", "got.csv", "--once") as receiver:
        rest = BUFFERED.format(to=receiver.port)
        (tmp_path / "pipeline.py").write_text(CODE.format(port=0, rest=rest))
        with streaming(tmp_path, "--workers", "2") as stream:
            talker = stream.talk({"stream": "s", "header": "n"})
            talker.hear()
            talker.say(*[b"%d" % n for n in range(250)], END)
            talker.hear_until(250)
            assert stream.stop() == 0, stream.said
        assert receiver.ended()[0] == 0
    lines = (tmp_path / "got.csv").read_text().splitlines()
    assert lines[0] == "n,pack,double"
    assert [line.split(",")[0] for line in lines[1:]] == [str(n) for n in range(250)]
    assert {line.split(",")[1] for line in lines[201:]} == {"50"}
