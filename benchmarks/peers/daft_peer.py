"""Measure Daft: its reader and writer, and a batch UDF over all columns that is given a pandas frame of them.

The UDF must say what it gives back: the types are those of what the function makes of the first rows. The output is
left as Daft's folder of files.
"""

from pathlib import Path

import daft
import pyarrow as pa
from _job import Job, told


def read(job: Job) -> daft.DataFrame:
    if job.reads == "parquet":
        return daft.read_parquet(job.source)
    if job.reads == "jsonl":
        return daft.read_json(job.source)
    source = f"{job.source}/*.csv" if Path(job.source).is_dir() else job.source
    rows = daft.read_csv(source)
    if job.dtype is str:
        texts = dict.fromkeys(rows.column_names, daft.DataType.string())
        return daft.read_csv(source, infer_schema=False, schema=texts)
    return rows


def worked(job: Job, rows: daft.DataFrame) -> daft.DataFrame:
    names = rows.column_names
    sample = daft.from_pandas(job.function(rows.limit(100).to_pandas())).schema()
    types = daft.DataType.struct({field.name: field.dtype for field in sample})

    @daft.func.batch(return_dtype=types, unnest=True)
    def call(*columns: daft.Series) -> pa.Array:
        frame = pa.table([column.to_arrow() for column in columns], names=names).to_pandas()
        return pa.Table.from_pandas(job.function(frame), preserve_index=False).to_struct_array()

    return rows.select(call(*(rows[name] for name in names)))


def write(job: Job, rows: daft.DataFrame) -> None:
    if job.writes == "parquet":
        rows.write_parquet(job.output)
    elif job.writes == "jsonl":
        rows.write_json(job.output)
    else:
        rows.write_csv(job.output)


if __name__ == "__main__":
    daft.set_runner_native(num_threads=told().workers)
    write(told(), worked(told(), read(told())))
