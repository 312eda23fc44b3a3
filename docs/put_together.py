"""Put the site together: README, changes and examples beside the pages of docs, with links that fit; for MkDocs."""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
GROUPS = {
    "Learn": ("start", "from-pandas", "row-wise", "notebook", "cron", "examples/README"),
    "When it goes wrong": ("bad-rows", "resume", "slow", "faq"),
    "More machines": ("clusters", "aws", "stores", "buckets", "watch"),
    "Look up": (
        *("cli", "api", "functions", "groups", "windows", "states", "streams", "redis", "kafka", "sources-and-sinks"),
        *("types", "read-csv", "files"),
    ),
    "Judge": ("promises", "limits", "security", "benchmarks", "CHANGELOG", "CONTRIBUTING"),
}
"""What stands where; pages that are in no group come last."""

FROM_THE_WEB = "https://unpkg.com/iframe-worker/shim"

BESIDES = ("CHANGELOG.md", "CONTRIBUTING.md", "examples/README.md")


def on_config(config: Any) -> Any:  # noqa: ANN401 (an object of MkDocs)
    """Order the pages."""
    there = {path.stem for path in (ROOT / "docs").glob("*.md")} | {name.removesuffix(".md") for name in BESIDES}
    groups = {title: [name for name in names if name in there] for title, names in GROUPS.items()}
    rest = sorted(there - {name for names in groups.values() for name in names})
    groups |= {"More": rest} if rest else {}
    config.nav = [{"muster": "index.md"}] + [
        {title: [f"{name}.md" for name in names]} for title, names in groups.items()
    ]
    return config


def on_files(files: Any, config: Any) -> Any:  # noqa: ANN401 (likewise)
    """Add what lies beside the folder of pages."""
    beside = {"index.md": ROOT / "README.md"} | {name: ROOT / name for name in BESIDES}
    beside |= {f"examples/{path.name}": path for path in (ROOT / "examples").glob("*.py")}
    for name, path in beside.items():
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:  # noqa: ANN401 (likewise)
    """Let links lead where pages are in the site; what is not in it is named without a link."""
    here = page.file.src_uri
    source = {"index.md": "README.md"}.get(here, here if here in BESIDES else f"docs/{here}")

    def fitting(match: "re.Match[str]") -> str:
        mark, text, target, anchor = match.groups(default="")
        if re.match(r"\w+:", target) or not target:
            return match[0]
        place = place_of(posixpath.normpath(posixpath.join(posixpath.dirname(source), target)))
        start = posixpath.dirname(here) or "."
        return f"{mark}[{text}]({posixpath.relpath(place, start)}{anchor})" if place else text

    markdown = re.sub(r"^ *<!--.*?-->\n", "", markdown, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"(!?)\[([^\]]*)\]\(([^)#\s]*)(#[^)\s]*)?\)", fitting, markdown)


def place_of(path: str) -> str:
    """Tell where a file of the repository is in the site; empty where it is not."""
    if path == "README.md":
        return "index.md"
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return path if path in BESIDES or re.fullmatch(r"examples/\w+\.py", path) else ""


def on_post_page(output: str, page: Any, **_: Any) -> str:  # noqa: ANN401 (likewise)
    """Let the search work without what the theme would fetch from the web."""
    start = posixpath.dirname(page.file.dest_uri) or "."
    return output.replace(FROM_THE_WEB, posixpath.relpath("worker.js", start))


def on_post_template(output_content: str, **_: Any) -> str:  # noqa: ANN401 (likewise)
    """Do the same where there is no page."""
    return output_content.replace(FROM_THE_WEB, "/worker.js")
