"""Measure Ray Data on a Ray of its own, on loopback; the output is left as Ray's folder of CSV files.

Ray reads one CSV file in one task: the blocks are split behind it, so that the function runs on every core. It stays
on loopback only with RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0, which the benchmark sets. The option ``newlines`` tells
Arrow's reader that values may hold newlines; a user has to know that about the file.
"""

import csv
import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
from _job import Job, told
from pyarrow import csv as arrow_csv


def reading(job: Job) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if job.option == "newlines":
        options["parse_options"] = arrow_csv.ParseOptions(newlines_in_values=True)
    if job.dtype is str:
        with Path(job.source).open(newline="") as file:
            names = next(csv.reader(file))
        options["convert_options"] = arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    return options


if __name__ == "__main__":
    job = told()
    ray.init(
        "local",
        num_cpus=job.workers,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _node_ip_address="127.0.0.1",
    )
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    rows = ray.data.read_csv(job.source, override_num_blocks=4 * job.workers, **reading(job))
    rows.map_batches(job.function, batch_format="pandas", batch_size=None).write_csv(job.output)
