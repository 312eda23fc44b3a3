"""``muster generate``: the seed system's synthetic rows."""

import argparse

from muster._api.generate import generate
from muster._api.given import check_is_a_file

from ._parser import Parser


def add(verb: Parser) -> None:
    verb.set_defaults(call=call)
    verb.description = "Write the synthetic rows of the seed system: ID,SKU,FLUX,MANUFACTURER_NAME,DESCRIPTION."
    verb.examples = (("muster generate --rows 5000 -o rows.csv", "write 5,000 rows"),)
    verb.add_argument("--rows", type=int, required=True, metavar="N", help="how many")
    verb.add_argument("-o", "--output", required=True, metavar="FILE", help="the CSV file to write")


def call(parsed: argparse.Namespace) -> int:
    """Return the exit code."""
    check_is_a_file(parsed.output, what="a CSV file")
    generate(parsed.rows, parsed.output)
    return 0
