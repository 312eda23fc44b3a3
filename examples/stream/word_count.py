# Counts words of lines that come over TCP, and goes on counting where it was, whatever is killed. The output has a row
# with the new count for each word that has come: the last row of a word in counts/ is how often it came so far.
#
#   muster run examples/stream/word_count.py &
#   echo "to be, or not to be" > /dev/tcp/127.0.0.1/8888     # in bash; or by nc, or from a program
#   tail -n +1 counts/part-*.csv
#   muster stop

import os

import pandas as pd

import muster


def line(payload: bytes) -> dict[str, str]:
    return {"line": payload.decode()}


def words(df: pd.DataFrame) -> pd.DataFrame:
    found = df["line"].str.lower().str.findall(r"\w+").explode().dropna()
    return pd.DataFrame({"word": found})


def count(df: pd.DataFrame, states: dict[str, int]) -> pd.DataFrame:
    counts = []
    for word in df["word"]:
        states[word] += 1
        counts.append(states[word])
    return df.assign(count=counts).drop_duplicates("word", keep="last")


lines = muster.listen_tcp(os.environ.get("FROM", "127.0.0.1:8888"), framing="lines", decode=line)
pipeline = lines.map_batches(words).key_by("word").map_batches(count, state=int).write_csv("counts/")
