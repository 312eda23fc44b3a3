# Tells which sensor was too hot in a minute, once that minute is over: the mean of a window, not a single reading.
# A reading may come ten seconds late. Readings are files of CSV in readings/, which grow; alerts are parts in alerts/.
#
#   mkdir -p readings && echo "sensor,at,celsius" > readings/today.csv
#   muster run examples/stream/alert.py &
#   echo "kiln,2026-03-01 12:00:05,97.5" >> readings/today.csv
#   echo "kiln,2026-03-01 12:01:10,40.0" >> readings/today.csv     # now 12:00 is over
#   tail -n +1 alerts/part-*.csv
#   muster stop

import pandas as pd

import muster

LIMIT = 80.0


def too_hot(df: pd.DataFrame) -> pd.DataFrame:
    return df[df["mean"] > LIMIT]


readings = muster.follow_csv("readings/", every=0.2, parse_dates=["at"], dtype={"celsius": "float64"})
minutes = readings.group_by("sensor").window("1m", time="at", lateness="10s")
means = minutes.agg(readings="count", mean=("celsius", "mean"))
pipeline = means.map_batches(too_hot).write_csv("alerts/")
