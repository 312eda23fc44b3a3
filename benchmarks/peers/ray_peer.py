"""Measure Ray Data on a Ray of its own, on loopback; the output is left as Ray's folder of files.

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


def read(job: Job) -> ray.data.Dataset:
    if job.reads == "parquet":
        return ray.data.read_parquet(job.source)
    if job.reads == "jsonl":
        return ray.data.read_json(job.source)
    return ray.data.read_csv(job.source, override_num_blocks=4 * job.workers, **csv_options(job))


def write(job: Job, rows: ray.data.Dataset) -> None:
    if job.writes == "parquet":
        rows.write_parquet(job.output)
    elif job.writes == "jsonl":
        rows.write_json(job.output)
    else:
        rows.write_csv(job.output)


def csv_options(job: Job) -> dict[str, Any]:
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
    write(job, read(job).map_batches(job.function, batch_format="pandas", batch_size=None))
