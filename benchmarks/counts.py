# Which row of its user each row is, for the job "states": what muster is given.

from collections.abc import MutableMapping

import pandas as pd

import muster


def count(df: pd.DataFrame, states: MutableMapping[int, int]) -> pd.DataFrame:
    groups = df.groupby("user", sort=False)["user"]
    sizes = groups.size()
    before = {user: states[user] for user in sizes.index}
    for user, more in sizes.items():
        states[user] = before[user] + more
    return df.assign(nth=df["user"].map(before) + groups.cumcount() + 1)


pipeline = muster.read_csv("in.csv").key_by("user").map_batches(count, state=int).write_csv("out.csv")
