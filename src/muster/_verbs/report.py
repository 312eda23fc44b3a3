"""``muster report``: a run in one page that needs nothing else."""

import argparse
from pathlib import Path

from muster._api.given import check_is_a_file
from muster._output.named_file import appearing
from muster.errors import UsageError

from ._parser import Parser


def add(verb: Parser) -> None:
    verb.set_defaults(call=call)
    verb.description = "Write what a run did, how long it took and where the time went into one self-contained page."
    verb.examples = (
        ("muster report -o report.html", "write a report of the newest run"),
        ("muster report 20261126-0402 -o report.html", "of the run whose id begins so"),
    )
    verb.add_argument("run", nargs="?", metavar="RUN", help="the id of a run, or its beginning (default: the newest)")
    verb.add_argument("-o", "--output", required=True, metavar="FILE", help="the HTML file to write")


def call(parsed: argparse.Namespace) -> int:
    """Return the exit code."""
    from muster._watch.report import is_report, report

    check_is_a_file(parsed.output, what="an HTML file")
    page = report(parsed.run)
    try:
        if not is_report(Path(parsed.output)):
            raise UsageError(
                f"{parsed.output!r} is there, and is no report of muster's, so it is not replaced. Choose another name;"
                " or remove it first."
            )
        with appearing(parsed.output, is_private=True) as file:  # errors may quote cells
            file.write(page)
    except OSError as error:
        raise UsageError(f"Cannot write {parsed.output!r}: {error.strerror}. Choose another file.") from error
    print(f"{parsed.output}: {len(page) / 1e3:,.0f} kB; open it in a browser.")
    return 0
