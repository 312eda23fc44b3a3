"""Run the cheap function once, with or without measures."""

import sys
from pathlib import Path

from _unmeasured import make_body_without
from muster._engines.cores.engine import CoresEngine
from muster._job import Job, Options
from muster._model import Target
from muster._run import runner

HERE = Path(__file__).parent


class Blind(runner.Observer):
    """An observer that sees who is there, and nothing else."""

    def done(self, *_: object, **__: object) -> None:
        pass

    def look(self, *_: object, **__: object) -> None:
        pass

    def tell(self, *_: object, **__: object) -> None:
        pass


def main() -> None:
    source, output, measures = sys.argv[1], sys.argv[2], sys.argv[3] == "with"
    job = Job((Target("file", str(HERE / "cheap.py"), "cheap"),), (source,), output, Options(fresh=True))
    if measures:
        runner.run(job, watch=lambda _: None)
    else:
        vars(runner)["Observer"] = Blind
        runner.run(
            job,
            watch=lambda _: None,
            make_engine=lambda workers: CoresEngine(
                make_body_without, workers=workers, preload=["muster._worker.task"]
            ),
        )


if __name__ == "__main__":
    main()
