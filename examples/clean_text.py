# Clean a column of free text: quotes, commas and line breaks inside cells are no trouble, and a row that cannot be
# cleaned goes to the rejects instead of stopping the run.
#
#   python examples/clean_text.py
#   muster run examples/clean_text.py:clean comments.csv -o clean.csv --dtype str

import html
import re
import unicodedata

import pandas as pd

import muster

BLANKS = re.compile(r"\s+")


def clean_cell(text: str) -> str:
    text = unicodedata.normalize("NFKC", html.unescape(text))
    return BLANKS.sub(" ", text).strip().lower()


def clean(df: pd.DataFrame) -> pd.DataFrame:
    df["COMMENT"] = df["COMMENT"].map(clean_cell)
    df["WORDS"] = df["COMMENT"].str.split().str.len()
    return df


if __name__ == "__main__":
    comments = ['He said: "fine",\nthen left.', "  R&amp;D \t rocks\n\n", "naïve ﬁle", None]
    rows = pd.DataFrame({"ID": range(2_000), "COMMENT": (comments * 500)})
    rows.to_csv("comments.csv", index=False)
    # A missing comment makes clean_cell raise, so a quarter of the rows end in the rejects.
    result = muster.run(clean, "comments.csv", "clean.csv", dtype="str", max_bad_rows=500)
    print(f"{result.rows_out:,} rows cleaned; {result.bad_rows:,} rejected, see {result.rejects}")
