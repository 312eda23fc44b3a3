# The seed system's application: rows come over TCP, a buffer gathers them, the classifier labels them on all workers,
# and they are sent on. `make stream` starts it between a sender and a receiver, and ends all three.
#
#   muster receive -o labelled.csv --listen 9999 --once &
#   muster run examples/stream/pipeline.py &
#   muster send rows.csv --to 127.0.0.1:8888
#   muster stop

import os
import sys
from pathlib import Path

import pandas as pd

import muster

sys.path.append(str(Path(__file__).parents[1]))
from classify import classify

PACK = 100


class Buffer:
    """Holds rows back until there are 100 more, or the stream ends."""

    def __call__(self, df: pd.DataFrame, states: dict[None, pd.DataFrame]) -> pd.DataFrame:
        rows = pd.concat([states[None], df])
        full = len(rows) // PACK * PACK
        states[None] = rows[full:]
        return rows[:full]

    def at_end(self, states: dict[None, pd.DataFrame]) -> pd.DataFrame:
        rest, states[None] = states[None], pd.DataFrame()
        return rest


rows = muster.listen_tcp(os.environ.get("FROM", "127.0.0.1:8888"), dtype="str")
buffered = rows.map_batches(Buffer, state=pd.DataFrame)
pipeline = buffered.map_batches(classify).send_tcp(os.environ.get("TO", "127.0.0.1:9999"), folder="labelled")
