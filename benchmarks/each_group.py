# What muster is given for the job "groups".

import muster
from largest import largest

pipeline = muster.read_csv("in.csv").group_by("user").map_groups(largest, sort=True).write_csv("out.csv")
