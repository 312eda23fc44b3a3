"""Measure Spark in local mode: its reader and writer, and ``mapInPandas``. The output is left as its folder of files.

``mapInPandas`` must be told what the function gives back: the types are those of what it makes of the first rows. The
option ``newlines`` is what Spark's documentation advises for cells with line breaks and quotes; a user has to know that
about the file.
"""

import os
import sys
from collections.abc import Iterator

import pandas as pd
from _job import Job, told
from pyspark.sql import DataFrame, SparkSession

QUOTES = {"escape": '"'}
"""Spark's own way is a backslash, which no other reader of CSV understands."""


def session(workers: int) -> SparkSession:
    os.environ |= {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    options = {"spark.ui.enabled": "false", "spark.driver.memory": "8g", "spark.driver.bindAddress": "127.0.0.1"}
    return SparkSession.builder.master(f"local[{workers}]").config(map=options).getOrCreate()


def read(job: Job, spark: SparkSession) -> DataFrame:
    if job.reads == "parquet":
        return spark.read.parquet(job.source)
    if job.reads == "jsonl":
        return spark.read.json(job.source)
    newlines = {"multiLine": True, **QUOTES} if job.option == "newlines" else {}
    return spark.read.options(header=True, inferSchema=job.dtype is not str, **newlines).csv(job.source)


def worked(job: Job, rows: DataFrame) -> DataFrame:
    function = job.function

    def call(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        return map(function, frames)

    sample = rows.sparkSession.createDataFrame(function(rows.limit(100).toPandas()))
    return rows.mapInPandas(call, sample.schema)


def write(job: Job, rows: DataFrame) -> None:
    if job.writes == "parquet":
        rows.write.parquet(job.output)
    elif job.writes == "jsonl":
        rows.write.json(job.output)
    else:
        rows.write.options(header=True, **(QUOTES if job.option == "newlines" else {})).csv(job.output)


if __name__ == "__main__":
    job = told()
    write(job, worked(job, read(job, session(job.workers))))
