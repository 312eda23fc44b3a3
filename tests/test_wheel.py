"""The wheel, in environments that hold what it asks for and nothing else: without extras, and with each of them."""

import importlib.metadata
import re
import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent.parent
EXTRAS = ("remote", "redis", "kafka", "polars", "cluster", "watch", "examples")
FUNCTION = "def double(df):\n    df['b'] = df['a'] * 2\n    return df\n"


@dataclass(frozen=True)
class Environment:
    """A virtual environment, of no project, and a folder to work in."""

    folder: Path

    def run(self, *words: str | Path, code: int = 0) -> str:
        """Run a program of the environment; return what it said."""
        done = subprocess.run(
            [str(self.folder / "bin" / words[0]), *map(str, words[1:])],
            cwd=self.folder,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "MUSTER_HOME": str(self.folder / "home")},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [str(Path(sys.executable).with_name("hatchling")), "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=HERE, check=True, capture_output=True, timeout=120)
    (made,) = folder.glob("*.whl")
    return made


def required(names: list[str]) -> Iterator[importlib.metadata.Distribution]:
    """Yield the distributions that requirements name, and all that those require, as they are here."""
    waiting, seen = [Requirement(name) for name in names], set()
    while waiting:
        one = waiting.pop()
        key = (canonicalize_name(one.name), frozenset(one.extras))
        if key in seen:
            continue
        seen.add(key)
        distribution = importlib.metadata.distribution(one.name)
        yield distribution
        for text in distribution.requires or ():
            further = Requirement(text)
            marker = further.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *one.extras)):
                waiting.append(further)


def link(distribution: importlib.metadata.Distribution, packages: Path) -> None:
    """Have an environment see a distribution that is installed here."""
    here = Path(str(distribution.locate_file("")))
    for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
        if not (packages / top).exists():
            (packages / top).symlink_to(here / top)


@pytest.fixture
def environment(request: pytest.FixtureRequest, wheel: Path, tmp_path: Path) -> Environment:
    """An environment in which the wheel has been installed, with the extra that the test names."""
    extra = getattr(request, "param", "")
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    (packages,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    ours = importlib.metadata.distribution("muster-run")
    wanted = [Requirement(text) for text in ours.requires or ()]
    chosen = [
        str(one).partition(";")[0] for one in wanted if one.marker is None or one.marker.evaluate({"extra": extra})
    ]
    for distribution in required(chosen):
        link(distribution, packages)
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--offline", "--no-deps", "--no-cache"]
    subprocess.run([*uv, "--python", str(tmp_path / "venv"), str(wheel)], check=True, capture_output=True, timeout=120)
    made = Environment(tmp_path / "venv")
    (made.folder / "in.csv").write_text("a\n" + "".join(f"{n}\n" for n in range(1000)))
    (made.folder / "f.py").write_text(FUNCTION)
    return made


def runs(environment: Environment, function: str = "f.py:double") -> bool:
    environment.run("muster", "run", function, "in.csv", "-o", "out.csv", "--workers", "2")
    return (environment.folder / "out.csv").read_text() == "a,b\n" + "".join(f"{n},{2 * n}\n" for n in range(1000))


def test_the_wheel_alone_runs_a_file_and_names_the_extras_that_it_lacks(environment: Environment) -> None:
    assert runs(environment)
    for words, extra in (
        (("run", "f.py:double", "s3://bucket/in.csv", "-o", "out.csv"), "remote"),
        (("up", "--machines", "1"), "cluster"),
        (("report", "-o", "report.html"), "watch"),
    ):
        assert f"pip install 'muster-run[{extra}]'" in environment.run("muster", *words, code=2)


def test_the_wheel_has_the_pages_that_messages_name(environment: Environment) -> None:
    pages = sorted(path.name for path in (HERE / "docs").glob("*.md"))
    installed = environment.run("python", "-c", "import muster; print(muster.__path__[0])").strip()
    assert sorted(path.name for path in Path(installed, "_pages").iterdir()) == pages
    (environment.folder / "wrong.py").write_text("def wrong(df):\n    raise ValueError('never')\n")
    said = environment.run("muster", "run", "wrong.py:wrong", "in.csv", "-o", "no.csv", "--batch-rows", "7", code=1)
    for topic in {"types", *re.findall(r"muster help ([\w-]+)", said)}:
        first = (HERE / "docs" / f"{topic}.md").read_text().splitlines()[0].strip("# ")
        assert environment.run("muster", "help", topic).startswith(f"{first}\n")


@pytest.mark.parametrize("environment", EXTRAS, indirect=True)
def test_the_wheel_runs_a_file_with_each_extra(environment: Environment) -> None:
    assert runs(environment)


@pytest.mark.parametrize("environment", ["remote"], indirect=True)
def test_with_remote_a_bucket_is_asked_for(environment: Environment) -> None:
    program = "from muster._urls import urls; print(urls.filesystem('s3://bucket/in.csv')[1])"
    said = environment.run("python", "-c", program)
    assert said.strip() == "bucket/in.csv"


@pytest.mark.parametrize("environment", ["polars"], indirect=True)
def test_with_polars_a_function_may_take_its_frames(environment: Environment) -> None:
    (environment.folder / "p.py").write_text(
        "import polars as pl\n\ndef double(df: pl.DataFrame) -> pl.DataFrame:\n"
        "    return df.with_columns((pl.col('a') * 2).alias('b'))\n"
    )
    assert runs(environment, "p.py:double")


@pytest.mark.waits
@pytest.mark.parametrize("environment", ["cluster"], indirect=True)
def test_with_cluster_a_run_calls_up_machines(environment: Environment) -> None:
    environment.run("muster", "run", "f.py:double", "in.csv", "-o", "far.csv", "--machines", "1")
    assert runs(environment)
    assert (environment.folder / "far.csv").read_bytes() == (environment.folder / "out.csv").read_bytes()


@pytest.mark.parametrize("environment", ["watch"], indirect=True)
def test_with_watch_a_run_is_reported(environment: Environment) -> None:
    assert runs(environment)
    environment.run("muster", "report", "-o", "report.html")
    assert "1,000" in (environment.folder / "report.html").read_text()


def test_nothing_tells_people_to_install_what_is_not_ours() -> None:
    """The name ``muster`` in the index of packages is that of an unrelated project."""
    wrong = re.compile(r"""pip install (?:-\S+ )*['"]?muster(?!-run)\b|\bmuster\[|requires? muster\b""")
    pages = [HERE / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml")]
    for folder in ("src", "docs", "examples"):
        pages += [path for path in (HERE / folder).rglob("*") if path.suffix in {".py", ".md", ".yml", ".html"}]
    assert len(pages) > 100
    assert [path for path in pages if wrong.search(path.read_text())] == []
