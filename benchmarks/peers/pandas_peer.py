"""Measure the three lines of pandas that muster is to replace, in one process."""

import pandas as pd
from _job import told

job = told()
job.function(pd.read_csv(job.source, dtype=job.dtype)).to_csv(job.output, index=False)
