"""A message says ``1 row``, not ``1 rows``: a count before a noun goes through ``plural``, unless it is never one."""

import re
from pathlib import Path

import muster

SOURCE = Path(muster.__file__).parent
NOUNS = "rows|fields|files|parts|columns|workers|machines|cells|runs|lines|calls|batches|hosts|objects|times|tries"
COUNTED = re.compile(rf"(?<!of )\{{(?:len\([^{{}}]*\)|[a-z_.]+)(?::,)?\}} (?:{NOUNS})\b(?!/)")
NEVER_ONE = {
    "_clouds/hosts.py": "more are wanted than there are",
    "_clouds/expecting.py": "more are wanted than there are",
    "_clouds/clusters.py": "more are wanted than there are",
    "_progress/cuts.py": "a task is condemned after several deaths",
    "_run/asking/questions.py": "a question is given up after several deaths",
    "_formats/compression.py": "one file is what there should be",
    "_api/check.py": "only where it is more than one",
    "_api/generate.py": "fewer than none",
    "_show/notebook.py": "with a total behind it",
    "_journal/runs.py": "two that begin alike at the least",
    "errors.py": "only where it is more than one",
}


def test_a_count_before_a_noun_is_put_by_plural() -> None:
    found = {}
    for path in SOURCE.rglob("*.py"):
        texts = [line for line in path.read_text(encoding="utf-8").splitlines() if COUNTED.search(line)]
        if texts and path.relative_to(SOURCE).as_posix() not in NEVER_ONE:
            found[path.name] = texts
    assert found == {}
    assert COUNTED.search('f"{len(names)} parts, {count:,} rows"')
