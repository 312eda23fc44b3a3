"""Measure DuckDB on groups: sums by SQL, in the order of the keys."""

import sys

import duckdb

SOURCE, OUTPUT, WORKERS = sys.argv[2:5]
SUMS = 'SELECT "user", sum(amount) total, count(amount) n, avg(amount) mean FROM read_csv(?)'

connection = duckdb.connect(config={"threads": int(WORKERS)})
connection.sql(f'{SUMS} GROUP BY "user" ORDER BY "user"', params=[SOURCE]).write_csv(OUTPUT)
