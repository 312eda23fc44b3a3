# Sums of the amounts of each user, for the job "agg": what muster is given.

import muster

sums = {"total": ("amount", "sum"), "n": ("amount", "count"), "mean": ("amount", "mean")}
pipeline = muster.read_csv("in.csv").group_by("user").agg(sort=True, **sums).write_csv("out.csv")
