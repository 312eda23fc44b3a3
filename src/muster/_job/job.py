"""What a user asks for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from muster._dialects import Dialect, Reading
from muster._files.witness import FileState
from muster._model import Keyed, StepChain, Target, chains_of

from .ends import Encoding, ListenTcp, ReadFrom, SendTcp, WriteTo


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may choose about a run.

    ``format`` counts where a suffix says nothing; ``input_format`` and ``output_format`` count in any case.
    """

    workers: int | None = None
    batch_rows: int | None = None
    dtype: str | Mapping[str, str] | None = None
    max_bad_rows: int | float | str | None = None
    strict: bool = False
    fresh: bool = False
    accept_changes: bool = False
    timeout: float | None = None
    calls_per_worker: int | None = None
    if_running: str = "fail"
    """What to do while another process works on the output: ``fail``, ``skip`` or ``wait``."""
    format: str | None = None
    input_format: str | None = None
    output_format: str | None = None
    dialect: Dialect = field(default_factory=Dialect)
    reading: Reading = field(default_factory=Reading)
    part_bytes: int | None = None
    limit: int | None = None
    sample: int | None = None
    cluster: str | None = None
    machines: int | None = None
    on: str | None = None
    env: Sequence[str] = ()
    with_files: Sequence[str] = ()
    """Files and folders that the function reads: they go along to machines, and a resume compares them."""
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What stores are opened with, some of it secret: it is written nowhere."""


@dataclass(frozen=True, slots=True)
class Follow:
    """How inputs are followed that never end: an epoch begins every so many seconds."""

    every: float = 1.0
    sources: tuple[ListenTcp | ReadFrom, ...] = ()
    """What rows come from that is no file; the inputs begin with the names of these."""
    has_files: bool = True
    """Inputs are files that grow, and folders that get new ones."""
    sinks: tuple[SendTcp | WriteTo, ...] = ()
    """Where rows go besides, or instead of, a folder of parts."""
    has_folder: bool = True
    """The output is a folder of parts; else it only names the work folder."""
    folder: str = ""
    """What the user calls the work folder, where an output says that."""
    steps: int = 0
    """How many functions there were when the first output was named."""
    encoding: Encoding | None = None
    """What makes bytes of each row, where that is a function of the user's own."""

    @property
    def is_merged(self) -> bool:
        """Tell whether rows come from several sources; all files are one."""
        return len(self.sources) + self.has_files > 1

    @property
    def identities(self) -> dict[str, ListenTcp | ReadFrom]:
        """Say of each source what tells it from the others, in an order that does not depend on how it was put."""
        listens = sum(isinstance(source, ListenTcp) for source in self.sources)
        named = {
            source.identity + (f" at {source.name}" if listens > 1 and isinstance(source, ListenTcp) else ""): source
            for source in self.sources
        }
        return dict(sorted(named.items()))


@dataclass(frozen=True, slots=True)
class Job:
    """What the user asked for: steps, inputs, output, options."""

    steps: tuple[Target, ...]
    inputs: tuple[str, ...]
    output: str
    options: Options = Options()
    typed: str = ""
    """The file that defines the pipeline, where it is not a function that was named."""
    retry: str = ""
    """The run whose bad rows are to be done."""
    only: Mapping[str, FileState] | None = None
    """The files to read of those that the inputs name, by path, and how each was when it was found; ``None``: all."""
    exchanges: tuple[Keyed, ...] = ()
    """Which steps rows come to by their keys, in order."""
    follow: Follow | None = None
    """The job goes on until it is stopped: its inputs are followed."""

    @property
    def files(self) -> tuple[str, ...]:
        """Give the inputs that are files; those of a stream may begin with the names of what is none."""
        return self.inputs[len(self.follow.sources) if self.follow is not None else 0 :]

    @property
    def chains(self) -> tuple[StepChain, ...]:
        """Cut the steps into those that run together; a job without exchanges has one stage."""
        return chains_of(self.steps, self.exchanges)
