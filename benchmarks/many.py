"""Measure many small files: against pandas where they lie here, and against fsspec's cat where they are objects.

Everything runs in a folder of its own, one after another. Objects lie on a moto server of this computer, whose own work
counts, as it shares the cores. Prints medians in seconds, and how many times as long muster takes.
"""

import argparse
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROWS = 100
KEYS = {"AWS_ACCESS_KEY_ID": "many", "AWS_SECRET_ACCESS_KEY": "many", "AWS_DEFAULT_REGION": "us-east-1"}
FUNCTION = "def cheap(df):\n    df['y'] = df['x'] * 2 + df['id']\n    return df\n"
PANDAS = """
import glob, pandas as pd
from cheap import cheap
pd.concat([cheap(pd.read_csv(path)) for path in sorted(glob.glob("in/*.csv"))]).to_csv("pandas.csv", index=False)
"""
CAT = """
import os, fsspec
files = fsspec.filesystem("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
print(len(files.cat(files.find("many/in"))))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "in").mkdir()
        (folder / "cheap.py").write_text(FUNCTION)
        for at in range(parsed.files):
            lines = "".join(f"{at * ROWS + row},{row / 8},n{row}\n" for row in range(ROWS))
            (folder / "in" / f"{at:06}.csv").write_text(f"id,x,name\n{lines}")
        os.environ |= {"MUSTER_HOME": str(folder / "home")}
        here, pandas = measured([muster("in"), [sys.executable, "-c", PANDAS]], folder, rounds=parsed.rounds)
        print(
            f"{parsed.files:,} files of {ROWS} rows: muster {here:.2f} s, pandas {pandas:.2f} s, {here / pandas:.2f}x"
        )
        if (folder / "out.csv").read_bytes() != (folder / "pandas.csv").read_bytes():
            sys.exit("muster and pandas wrote different rows")
        os.environ |= KEYS
        os.environ |= {"AWS_ENDPOINT_URL": served(folder)}
        far, cat = measured([muster("s3://many/in/"), [sys.executable, "-c", CAT]], folder, rounds=parsed.rounds)
        print(f"as objects: muster {far:.2f} s, fsspec's cat alone {cat:.2f} s, {far / cat:.2f}x")


def muster(source: str) -> list[str]:
    words = ["run", "cheap.py:cheap", source, "-o", "out.csv", "--fresh", "--quiet"]
    return [sys.executable, "-m", "muster", *words]


def measured(commands: list[list[str]], folder: Path, *, rounds: int) -> list[float]:
    """Run commands in turn; give the median of each."""
    seconds: list[list[float]] = [[] for _ in commands]
    for _ in range(rounds):
        for own, command in zip(seconds, commands, strict=True):
            began = time.monotonic()
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
            own.append(time.monotonic() - began)
    return [statistics.median(own) for own in seconds]


def served(folder: Path) -> str:
    """Put the files into a bucket of a server that ends with this process; give its address."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 (its start-up is not that of the local files)

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    import boto3  # noqa: PLC0415 (likewise)

    store = boto3.client("s3", endpoint_url=f"http://{host}:{port}")
    store.create_bucket(Bucket="many")
    for path in sorted((folder / "in").iterdir()):
        store.put_object(Bucket="many", Key=f"in/{path.name}", Body=path.read_bytes())
    return f"http://{host}:{port}"


if __name__ == "__main__":
    main()
