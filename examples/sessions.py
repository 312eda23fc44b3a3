"""Sessions of users, from clicks: a new one begins where a user was away for half an hour. The clicks are in order.

Run ``python examples/sessions.py``. The clicks of all users are mixed in one file, as a web server writes them. Each
user has a state, the session that is open; a step before adds the key, and groups behind are the sessions of a day.
"""

from pathlib import Path

import pandas as pd

import muster

AWAY = 30 * 60


class Sessions:
    """Gives a session as soon as its user was away for long enough, and at the end those that are open still."""

    def __call__(self, df: pd.DataFrame, states: dict[str, dict[str, int]]) -> pd.DataFrame:
        ended = []
        for row, user, at in zip(df.index, df["user"], df["at"], strict=True):
            state = states[user]
            if state and at - state["last"] > AWAY:
                ended.append((row, user, *state.values()))
                state.clear()
            state["first"], state["last"] = state.get("first", at), at
            state["clicks"] = state.get("clicks", 0) + 1
        rows = pd.DataFrame(ended, columns=["row", "user", "first", "last", "clicks"])
        return rows.set_index("row").rename_axis(None)

    def at_end(self, states: dict[str, dict[str, int]]) -> pd.DataFrame:
        return pd.DataFrame([{"user": user, **state} for user, state in states.items()])


def with_user(df: pd.DataFrame) -> pd.DataFrame:
    return df.assign(user=df["cookie"].str.split("-").str[0])


def of_a_day(df: pd.DataFrame, day: int) -> pd.DataFrame:
    length = (df["last"] - df["first"]).mean()
    return pd.DataFrame({"day": [day], "sessions": [len(df)], "clicks": [df["clicks"].sum()], "mean seconds": [length]})


if __name__ == "__main__":
    times = [at * at % 259_200 for at in range(3000)]
    cookies = [f"{at * 7919 % 50}-{at % 9}" for at in times]
    pd.DataFrame({"cookie": cookies, "at": times}).sort_values("at").to_csv("clicks.csv", index=False)
    sessions = muster.read_csv("clicks.csv").map_batches(with_user).key_by("user").map_batches(Sessions, state=dict)
    days = sessions.map_batches(lambda df: df.assign(day=df["first"] // 86_400))
    days.group_by("day").map_groups(of_a_day, sort=True).write_csv("days.csv").run(workers=2)
    print(Path("days.csv").read_text())
    counts = pd.read_csv("days.csv")
    print(f"{counts['clicks'].sum():,} clicks in {counts['sessions'].sum():,} sessions")
