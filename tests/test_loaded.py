"""Which modules a worker looks at for the user's code: those that were loaded since libraries were, and no others."""

import json
from pathlib import Path

from conftest import cold

SCRIPT = """
import json, sys
sys.path.insert(0, "")
import colorsys, early
from muster._user_code import loaded

assert "json" in loaded.loaded()
assert loaded.recent()[0] == next(reversed(sys.modules)) and {"json", "sys"} <= set(loaded.recent())
for again in range(2):
    loaded.settle()
    assert loaded.recent() == [], loaded.recent()
    assert sorted(loaded.loaded()) == ["__main__", "colorsys", "early"], loaded.loaded()
import late, sched
sys.modules.pop("early")
print(json.dumps([loaded.recent(), loaded.loaded()]))
"""


def test_modules_of_libraries_are_looked_at_once_and_those_of_the_user_again_and_again(tmp_path: Path) -> None:
    for name in ("colorsys", "early", "late"):  # the first takes the place of one of Python's own
        (tmp_path / f"{name}.py").touch()
    (tmp_path / "script.py").write_text(SCRIPT)
    code, out, err = cold(["script.py"], tmp_path, 60)  # what waits has settled
    assert code == 0, err
    recent, loaded = json.loads(out)
    assert {"late", "sched"} <= set(recent)
    assert {name: Path(path).parent for name, path in loaded.items() if name in {"colorsys", "late"}} == {
        "colorsys": tmp_path,
        "late": tmp_path,
    }
    assert "early" not in loaded
    assert "json.decoder" not in loaded
