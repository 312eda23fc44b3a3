"""Say of one run whether its answer is right, or in a line why there is none."""

import hashlib
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from _answers import files_of
from _measure import LIMIT_SECONDS, Run, run
from _peers import HERE

REASON_LENGTH = 160
Results = dict[str, Any]


def reason(done: Run) -> str:
    if done.seconds > LIMIT_SECONDS:
        return f"not done after {LIMIT_SECONDS:.0f} s"
    lines = [line.strip() for line in done.errors.splitlines() if line.strip()] or [f"exit code {done.code}"]
    raised = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Invalid)\b.*:", line)]
    return (raised or lines)[-1].replace(f"{HERE.parent}{os.sep}", "")[:REASON_LENGTH]


def verdict(expected: Path, output: Path, before: Results, numbers: str, *, environment: Mapping[str, str]) -> Results:
    """Judge an output, unless it is to the byte what this peer wrote the last time."""
    if not output.exists():
        return {"state": "wrong", "detail": "nothing was written"}
    digest = _digest(output)
    if before.get("digest") == digest:
        return {}
    judge = [sys.executable, str(HERE / "judge.py"), str(expected), str(output), numbers]
    done = run(judge, environment=environment)
    if done.code:
        return {"state": "wrong", "detail": f"nothing that can be read: {reason(done)}", "digest": digest}
    told = json.loads(done.output)
    state = "right" if told["right"] and before["state"] != "wrong" else "wrong"
    return {"state": state, "detail": told["detail"] or before.get("detail", ""), "digest": digest}


def _digest(output: Path) -> str:
    digest = hashlib.sha256()
    for path in files_of(output):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
