"""The peers: what each is called, what it needs, and which Python runs it."""

import importlib.metadata
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
APART = HERE.parent / ".venv-peers" / "bin" / "python"
"""The Python of peers that do not go with muster's own pinned packages."""
VERSIONS = """
import importlib.metadata as metadata, json
print(json.dumps({one.name.lower(): one.version for one in metadata.distributions()}))
"""


@dataclass(frozen=True, slots=True)
class Peer:
    title: str
    module: str = ""
    """What must be installed."""
    script: str = ""
    option: str = "-"
    python: Path = Path(sys.executable)
    program: str = ""
    """What must be there besides."""

    @property
    def is_floor(self) -> bool:
        return self.script == "floor_peer.py"

    @property
    def version(self) -> str | None:
        """Tell the version of what it is made of, or None where that is not installed."""
        if not self.module:
            return importlib.metadata.version("muster-run")
        is_whole = not self.program or shutil.which(self.program) is not None
        return versions(self.python).get(self.module) if is_whole else None


@cache
def versions(python: Path) -> Mapping[str, str]:
    """Tell the versions of all that is installed for a Python; nothing, where there is no such Python."""
    if not python.exists():
        return {}
    done = subprocess.run([python, "-c", VERSIONS], check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


PEERS: Mapping[str, Peer] = {
    "muster": Peer("**muster**"),
    "inline": Peer("muster --workers 0", option="inline"),
    "pandas": Peer("pandas, three lines", "pandas", "pandas_peer.py"),
    "pool": Peer("multiprocessing.Pool over chunks", "pandas", "pool_peer.py"),
    "joblib": Peer("joblib, generator", "joblib", "joblib_peer.py"),
    "dask": Peer("Dask dataframe", "dask", "dask_peer.py"),
    "dask-one-block": Peer("Dask, blocksize=None", "dask", "dask_peer.py", "one-block"),
    "ray": Peer("Ray Data", "ray", "ray_peer.py"),
    "ray-newlines": Peer("Ray Data, newlines_in_values=True", "ray", "ray_peer.py", "newlines"),
    "spark": Peer("Spark, mapInPandas", "pyspark", "spark_peer.py", python=APART, program="java"),
    "spark-newlines": Peer("Spark, multiLine=True", "pyspark", "spark_peer.py", "newlines", APART, "java"),
    "daft": Peer("Daft, batch UDF", "daft", "daft_peer.py", python=APART),
    "duckdb": Peer("DuckDB by hand", "duckdb", "duckdb_peer.py"),
    "polars": Peer("Polars by hand", "polars", "polars_peer.py"),
    "floor": Peer("*Arrow floor*", "pyarrow", "floor_peer.py"),
    "floor-pieces": Peer("*Arrow floor, in pieces of 16 MB*", "pyarrow", "floor_peer.py", "pieces"),
    "floor-newlines": Peer("*Arrow floor, newlines_in_values=True*", "pyarrow", "floor_peer.py", "newlines"),
}
