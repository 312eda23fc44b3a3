"""The lazy pipeline that ``read_csv`` and friends return, and the one call that runs a function over files."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any, Final, Literal, Unpack

from muster._api import sending
from muster._api.given import check_function, check_is_a_file, check_no_pattern, inputs_of, output_of, own_end, path_of
from muster._api.groups import ALL_ROWS, Groups, Key, Keys, before_keys, by_key, by_states, with_state
from muster._api.meant import Advising
from muster._api.merging import merged
from muster._api.options import CheckOptions, RunOptions, laid_over, spelled_out
from muster._api.sending import EncodeRow
from muster._api.to_servers import ToServers
from muster._clouds.asked import RentalFlags, asking_for
from muster._dialects import Dialect
from muster._dialects.values import flag
from muster._engines.base import check_is_engine
from muster._files.witness import FileState
from muster._job import Follow, Job, Options, Result, SendTcp, Snapshot, StreamSink, WriteTo
from muster._model import Keyed, Target
from muster._process.signals import obeyed
from muster._run import runner
from muster._run.staffing.assembly import THIS_COMPUTER, Means, to_the_terminal
from muster._show.arguments import in_python
from muster._show.callers import from_the_callers_line, of_python, warn_of_mixing, warn_of_rejects
from muster._show.calm import calmed
from muster._show.terminal import Shown, showing
from muster._user_code import arguments, targets
from muster._user_code.main_module import check_not_loading
from muster._user_code.rowwise import remarks_on, warnings_of
from muster._user_code.world import a_run, begin_anew
from muster.errors import UsageError

if TYPE_CHECKING:
    from muster._api.check import Check
    from muster._api.profile import ProfileOfBatch
    from muster._engines.base import Engine

SAMPLE: Final = 1000
"""How many rows a check takes."""

_PLACES: Final = {"{name}": "muster.run_each", "{date}": "muster.run_since_last", "{time}": "muster.run_since_last"}
"""What fills in places in the name of an output."""

_STOPPED: Final = (
    "The run was interrupted; what was done is kept. Make the same call again to go on; fresh=True starts over."
)

AS_NAMED: Final = Dialect(delimiter="")
"""How text is written where nobody says it: files' names tell what separates cells."""

Function = Callable[..., Any]
Paths = str | PathLike[str] | Sequence[str | PathLike[str]]
Watch = Callable[[Snapshot], None]


@dataclass(frozen=True, slots=True)
class Pipeline(ToServers, Advising):
    """Inputs, functions and an output, put together step by step; nothing happens before :meth:`run`.

    Every method returns a new pipeline, so that one can be kept and used twice.
    """

    inputs: tuple[str, ...] = ()
    steps: tuple[Target, ...] = ()
    output: str = ""
    options: Options = field(default_factory=Options)
    remarks: tuple[str, ...] = ()
    """Which lines of the functions seem to mix rows."""
    typed: str = ""
    """What the command line called the file that defines it."""
    only: Mapping[str, FileState] | None = None
    """Of the files that the inputs name, those that are read; see ``Job``."""
    exchanges: tuple[Keyed, ...] = ()
    """Which functions rows come to by their keys."""
    follow: Follow | None = None
    """Its inputs are followed: it goes on until it is stopped."""

    @from_the_callers_line
    def merge(self, *others: "Pipeline") -> "Pipeline":
        """Add the rows that others read behind these, as ``pd.concat`` does, before any function.

        The options of all are the same: ``muster.read_csv("a.csv").merge(muster.read_csv("b.csv"))``. Those that go on,
        :func:`follow_csv`, :func:`listen_tcp`, :func:`read_from` and others, are merged with one another: each keeps
        its own position and order, and one that is away stops no other. Their columns have the same names.
        """
        return merged(self, *others)

    @from_the_callers_line
    def map_batches(
        self,
        function: Function | str,
        *,
        args: Mapping[str, Any] | None = None,
        state: Callable[[], Any] | None = None,
    ) -> "Pipeline":
        """Apply a function to every batch: a DataFrame in, a DataFrame out.

        ``function`` may be a function, a lambda, a closure, a class (built once per worker, then called), or a target
        such as ``"file.py:function"``. Its first parameter's annotation decides what it gets: a pandas DataFrame, or a
        ``pyarrow.Table`` or ``polars.DataFrame``. The frame's index is the rows' number in their file. ``args`` are
        keyword arguments: of the function in each call, of a class when it is built. Behind :meth:`Groups.map_groups`
        rows are numbered anew, from 0.

        With ``state`` the function is a step that keeps a state, ``step(df, states)``: it gets all rows of the input in
        their order, one batch after another in one worker, and ``states[None]`` is what ``state()`` has made.
        :meth:`key_by` says more, and has a state for each key, on all workers.
        """
        if state is not None:
            return with_state(self, function, state=state, args=args, by=ALL_ROWS)
        check_function(function)
        target = targets.parse_target(function) if isinstance(function, str) else targets.of_function(function)
        remarks = remarks_on(None if isinstance(function, str) else function, target)
        target = targets.with_arguments(target, arguments.given(args, step=target.name))
        return dataclasses.replace(self, steps=(*self.steps, target), remarks=self.remarks + remarks)

    @from_the_callers_line
    def group_by(self, columns: Key | Sequence[Key], *, dropna: bool = True) -> "Groups[Pipeline]":
        """Put rows together that have the same key: the value of a column, or the values of several.

        What is done with each group says the next method: :meth:`Groups.map_groups` or :meth:`Groups.agg`.
        ``dropna`` leaves out rows whose key is missing, as pandas does. The columns are those that the functions before
        have given. In place of a column there may be a function: it gets batches, as that of ``map_batches`` does, and
        returns a Series or an array with a key for each row, which no other function sees.
        """
        return Groups(*by_key(self, columns, dropna=dropna))

    @from_the_callers_line
    def key_by(self, columns: Key | Sequence[Key] | None) -> "Keys[Pipeline]":
        """Send rows to a step that keeps a state for each key: the value of a column, or the values of several.

        The step is that of the next method, :meth:`Keys.map_batches`. ``None``: one state for all rows. Rows whose key
        is missing are not left out. In place of a column there may be a function, as for :meth:`group_by`.
        """
        return Keys(*by_states(self, columns))

    @from_the_callers_line
    def write_csv(self, path: str | PathLike[str]) -> "Pipeline":
        """Write CSV: a file, or a folder of numbered parts when the path ends in ``/``."""
        return self._write(path, "csv")

    @from_the_callers_line
    def write_parquet(self, path: str | PathLike[str]) -> "Pipeline":
        """Write Parquet: a file, or a folder of numbered parts when the path ends in ``/``."""
        return self._write(path, "parquet")

    @from_the_callers_line
    def write_json(self, path: str | PathLike[str]) -> "Pipeline":
        """Write JSON lines: a file, or a folder of numbered parts when the path ends in ``/``."""
        return self._write(path, "jsonl")

    @from_the_callers_line
    def send_tcp(  # noqa: PLR0913 (each is given by its name)
        self,
        place: str,
        *,
        framing: Literal["length", "lines"] = "length",
        encode: Literal["csv", "json"] | EncodeRow = "csv",
        plain: bool = False,
        folder: str | PathLike[str] | None = None,
        spool_bytes: int = 256_000_000,
        tls: bool = False,
        tls_ca: str | PathLike[str] | None = None,
        token: str | PathLike[str] | None = None,
    ) -> "Pipeline":
        """Send rows to ``place``, ``"host:port"``, behind :func:`follow_csv`, :func:`listen_tcp` and others.

        ``muster receive`` gets each row once, whatever is killed, as does :func:`listen_tcp`; a ``plain`` receiver,
        which acknowledges nothing, at least once. Rows wait on the disk until they are acknowledged.

        - ``framing``: ``"length"``, four bytes with the length before each row, or ``"lines"``, a newline behind it;
          ``encode``: rows of ``"csv"``, behind a header, or of ``"json"``; or ``f(row)``, which makes bytes of a dict.
        - ``folder``: rows that wait are in ``FOLDER.muster``, bad ones in ``FOLDER.rejects.jsonl``. None: ``tcp-`` and
          the place.
        - ``spool_bytes``: so much may wait; then nothing more is read.
        - ``tls``: use TLS, and trust whom this computer trusts; ``tls_ca``: the certificates of this file. ``token``: a
          file with the token that the receiver wants.
        """
        paths = path_of("tls_ca", tls_ca), path_of("token", token)
        send = SendTcp(place, framing, flag("plain", plain), spool_bytes, flag("tls", tls), *paths)
        return sending.over_tcp(self, send, encode=encode, folder=folder)

    @from_the_callers_line
    def write_to(
        self,
        sink: StreamSink,
        *,
        encode: Literal["csv", "json", "parquet"] | EncodeRow = "csv",
        name: str | None = None,
        folder: str | PathLike[str] | None = None,
        spool_bytes: int = 256_000_000,
    ) -> "Pipeline":
        """Hand rows to a sink of your own, a :class:`muster.StreamSink`, behind :func:`follow_csv` and others.

        It gets the rows of each epoch in a file, once, whatever is killed. They wait on the disk until it has them.

        - ``encode``: the files are ``"csv"`` with a header, lines of ``"json"``, or ``"parquet"``; or ``f(row)`` makes
          bytes of a dict, and they hold those of all rows, one behind the other.
        - ``name``: what messages call the sink. None: its class.
        - ``folder``: rows that wait are in ``FOLDER.muster``, bad ones in ``FOLDER.rejects.jsonl``. None: the name.
        - ``spool_bytes``: so much may wait; then nothing more is read.
        """
        called = own_end(sink, StreamSink, name=name, what="write_to")
        return sending.to_sink(self, WriteTo(sink, called, spool_bytes), encode=encode, folder=folder)

    def _write(self, path: str | PathLike[str], format_: str) -> "Pipeline":
        return sending.to_files(self, output_of(path), format_=format_)

    @spelled_out(RunOptions)
    @from_the_callers_line
    def run(
        self,
        *,
        watch: Watch | None = None,
        progress: bool | None = None,
        engine: "Engine | None" = None,
        **options: Unpack[RunOptions],
    ) -> Result:
        """Run to the end. Raises ``MusterError``.

        ``watch``, ``progress``, ``engine`` and the options are those of :func:`muster.run`, which says what each means.
        An option that is not given stays as :func:`muster.read_csv` and the others set it.
        """
        begin_anew()
        check_no_pattern(self.output, instead=_PLACES)
        inline = options.get("workers", self.options.workers) == 0
        with telling(watch, progress, is_live=not inline) as (shown, tell):
            means = THIS_COMPUTER if engine is None else _with(engine, laid_over(self.options, options))
            with (
                contextlib.nullcontext() if engine is None else contextlib.closing(engine)
            ):  # however far the run comes
                result = start(self, options, watch=tell, remark=warn_of_mixing, printed=shown.printed, means=means)
            shown.finish(result)
        warn_of_rejects(result)
        return of_python(result)


def _with(engine: "Engine", options: Options) -> Means:
    """Have an engine that a caller gives do the tasks. Raises ``UsageError`` where it cannot, or others are to."""
    check_is_engine(engine)
    for name, value in (("cluster", options.cluster), ("machines", options.machines)):
        if value is not None:
            raise UsageError(
                f"engine= and {name}={value!r}: either the engine that is given does the tasks, or machines do. Leave"
                " one of them out."
            )
    return Means(engine=engine)


@contextlib.contextmanager
def telling(
    watch: Watch | None,
    progress: bool | None,  # noqa: FBT001 (as callers give it)
    *,
    is_live: bool,
) -> Iterator[tuple[Shown, Watch]]:
    """Show how far a run is to who called it in Python, and tell their own watcher, in the words of Python."""
    if watch is not None and not callable(watch):
        raise UsageError(f"watch={watch!r}: it must be a function, which is called with a muster.Snapshot.")
    if progress is not None:
        flag("progress", progress)
    with showing(progress, is_live=is_live) as shown, calmed(watch) as told:

        def tell(snapshot: Snapshot) -> None:
            spoken = dataclasses.replace(snapshot, note=in_python(snapshot.note)) if snapshot.note else snapshot
            shown.watch(spoken)
            told(spoken)

        try:
            with asking_for(RentalFlags(agree=shown.remark, tell=shown.remark)):
                yield shown, tell
        except KeyboardInterrupt as stop:
            stop.add_note(_STOPPED)
            shown.remark(_STOPPED)
            raise


def start(  # noqa: PLR0913 (each is given by its name)
    pipeline: Pipeline,
    options: RunOptions | None = None,
    *,
    watch: Watch,
    remark: Callable[[str], None],
    printed: Callable[[str], None] = to_the_terminal,
    means: Means = THIS_COMPUTER,
) -> Result:
    """Run a pipeline to its end, with ``options`` laid over its own; ``printed`` is told what workers print.

    Raises ``MusterError``, in the words of the command line, as are remarks.
    """
    check_not_loading()
    if not pipeline.steps:
        raise UsageError("This pipeline has no function. Add one with .map_batches(function).")
    _check_has_input(pipeline)
    if not pipeline.output:
        raise UsageError(
            "This pipeline has no output. Add .write_csv(path), .write_parquet, .write_json, .send_tcp or .write_to."
        )
    check_is_a_file(pipeline.output, what="a file or a folder")
    chosen = laid_over(pipeline.options, options or {})
    remarks = pipeline.remarks if chosen.batch_rows is None else ()
    warnings = warnings_of(pipeline.steps, remarks, is_stream=pipeline.follow is not None)
    with a_run(), obeyed():
        steps = sending.with_encoding(pipeline.steps, pipeline.follow)
        job = Job(steps, pipeline.inputs, pipeline.output, chosen, typed=pipeline.typed, only=pipeline.only)
        job = dataclasses.replace(job, exchanges=pipeline.exchanges, follow=pipeline.follow)
        return runner.run(job, watch=watch, remark=remark, printed=printed, warnings=warnings, **means._asdict())


def check_ends(pipeline: Pipeline, *, what: str) -> None:
    """Raise ``UsageError`` where a pipeline follows its inputs; ``what`` says why that cannot be."""
    if pipeline.follow is not None:
        raise UsageError(
            f"{what}, and this pipeline follows its inputs, which have no end. Use read_csv; or leave it out."
        )


def _begun(paths: Paths) -> Pipeline:
    return Pipeline(inputs_of(paths), options=Options(dialect=AS_NAMED))


@spelled_out(RunOptions)
@from_the_callers_line
def run(  # noqa: PLR0913 (what all users of it type)
    function: Function | str,
    inputs: Paths,
    output: str | PathLike[str],
    *,
    args: Mapping[str, Any] | None = None,
    watch: Watch | None = None,
    progress: bool | None = None,
    engine: "Engine | None" = None,
    **options: Unpack[RunOptions],
) -> Result:
    """Run a function over every row of the inputs, on all cores, and write one output.

    ``function`` takes a pandas DataFrame and returns one. It may also be a class, which is built once in each worker,
    or a target such as ``"file.py:function"``. ``inputs`` are files, globs, folders or URLs. ``output`` is a file, or a
    folder of numbered parts when it ends in ``/``. Formats follow the suffixes.

    The same options, as flags, are those of ``muster run``. How the work is done:

    - ``args=None``: keyword arguments for the function, such as ``{"n": 3}``. A class is built with them.
    - ``workers=None``: how many processes; 0 runs in this one, for a debugger. None: all cores.
    - ``batch_rows=None``: exactly so many rows in each call. None: as many as is fast.
    - ``timeout=None``: how many seconds one call may take; then its row goes to the rejects. None: no limit.
    - ``calls_per_worker=None``: after how many calls of the function a fresh worker takes the place of one, for a
      function that leaks memory. None: never.
    - ``progress=None``: True shows how far it is: a bar where standard error is a terminal, one display in a notebook,
      which is updated in place, and else a line every ten seconds. None: on terminals and in notebooks, it is True.
    - ``watch=None``: is called with a :class:`muster.Snapshot` in the caller's thread: at each new phase or note, and
      when anything else has changed but the clock, four times a second at the most. The last one is always told.
    - ``engine=None``: what does the tasks in a test of yours, such as a :class:`muster.testing.FakeEngine` that loses
      workers as you tell it. It serves one run, which closes it. None: the processes of this computer.

    What is read, and as what:

    - ``dtype=None``: ``"str"`` reads every cell as text; ``{"zip": "str"}`` fixes some columns. None: the types that
      pandas would give the whole input.
    - ``format=None``: ``"csv"``, ``"jsonl"`` or ``"parquet"``, where a suffix does not say.
    - ``storage_options=None``: what stores of URLs are opened with, as in pandas: ``{"anon": True}``; or for one
      protocol, ``{"s3": {"requester_pays": True}}``. They are written nowhere.
    - ``dialect=None``: a :class:`muster.Dialect`, which the options of CSV are laid over.
    - ``part_bytes=None``: about how many bytes of the input a worker reads at a time, for a test of yours that has many
      batches in a small file. None: as many as is fast.
    - the options of CSV, ``sep`` to ``dayfirst``: those of :func:`muster.read_csv`, for inputs that are CSV.

    Only some rows, to see what all would take, which the result's ``estimate`` tells:

    - ``limit=None``: how many of the first rows to do.
    - ``sample=None``: how many rows to do that are spread over the whole input.

    Bad rows, and runs that were interrupted:

    - ``max_bad_rows=None``: how many rows may be rejected before the run stops: ``100``, or a share, ``"1%"`` or
      ``0.01``. None: 1000 or 10%, whichever is less, but 10 in any case.
    - ``strict=False``: stop at the first bad row.
    - ``fresh=False``: forget an unfinished run of this output, and start over; do again what is unchanged since it was
      done.
    - ``accept_changes=False``: go on with an unfinished run although what its rows depend on has changed.
    - ``if_running="fail"``: what to do while another process works on this output: ``"fail"``, ``"skip"``, or
      ``"wait"`` until that is over.

    More machines:

    - ``cluster=None``: the name of a cluster that ``muster up`` made, to run on.
    - ``machines=None``: how many machines to call up for this run alone.
    - ``on=None``: where: ``"local"``, which None means too, ``"aws"``, or a YAML file of hosts or with a section
      ``aws:``.
    - ``env=()``: names of environment variables that go to hosts. Machines of this computer have all of them.
    - ``with_files=()``: files and folders that the function reads: they go to hosts, and a resume compares them.

    Where an earlier run has finished, and nothing has changed since, neither inputs, function and options nor the
    output, nothing is done: the result is that of the earlier run, with ``unchanged`` set.

    It returns normally where rows could not be processed: they are missing in the output, and it warns with
    ``RejectedRowsWarning``. Raises ``UsageError``, ``DataError``, ``UserCodeError`` or ``EngineError``, all of them
    ``MusterError``. The output appears complete or not at all; after an error, the same call again goes on where this
    one stopped.
    """
    return of_call(function, inputs, output, args=args).run(watch=watch, progress=progress, engine=engine, **options)


def of_call(
    function: Function | str, inputs: Paths, output: str | PathLike[str], *, args: Mapping[str, Any] | None
) -> Pipeline:
    """Make the pipeline of a call in Python."""
    return dataclasses.replace(_begun(inputs), output=output_of(output)).map_batches(function, args=args)


@spelled_out(CheckOptions)
@from_the_callers_line
def check(
    function: Function | str,
    inputs: Paths,
    *,
    sample: int = SAMPLE,
    args: Mapping[str, Any] | None = None,
    **options: Unpack[CheckOptions],
) -> "Check":
    """Check whether a function treats each row by itself, on the first ``sample`` rows of the inputs.

    It is called in a worker: with these rows, with them again, with each half of them, and with about 40 small batches
    of 1 to 10 rows and what lies between these: fewer where one call takes longer than 0.1 s. Columns that are other
    ones in the second call are random.

    ``args`` and the options are those of :func:`muster.run`, ``limit`` aside, so that you can pass the same ones to
    both. Those that say how to read, and ``timeout``, count here; the others are ignored. Raises ``MusterError``.
    """
    begin_anew()
    return checked_rows(_begun(inputs).map_batches(function, args=args), options, sample=sample)


def _check_has_input(pipeline: Pipeline) -> None:
    if not pipeline.inputs:
        raise UsageError("This pipeline has no input. Begin it with muster.read_csv(...), or name inputs.")


def checked_rows(pipeline: Pipeline, options: CheckOptions | None = None, *, sample: int) -> "Check":
    """Check a pipeline's functions. Raises ``MusterError``, in the words of the command line."""
    check_not_loading()
    what = "A check tells whether a function treats each row by itself"
    steps = before_keys(pipeline.steps, pipeline.exchanges, what=what)
    _check_has_input(pipeline)
    from muster._api.check import check as check_rows

    with a_run():
        checked = check_rows(steps, pipeline.inputs, laid_over(pipeline.options, options or {}), sample=sample)
    return dataclasses.replace(checked, unchecked=tuple(step.name for step in pipeline.steps[len(steps) :]))


def profiled(pipeline: Pipeline, *, rows: int) -> "ProfileOfBatch":
    """Profile a pipeline's functions on rows of the middle. Raises ``MusterError``, as the command line words it."""
    check_not_loading()
    steps = before_keys(pipeline.steps, pipeline.exchanges, what="A profile is of a batch of the input")
    _check_has_input(pipeline)
    from muster._api.profile import profile

    options = dataclasses.replace(pipeline.options, limit=None, sample=None)
    with a_run():
        made = profile(steps, pipeline.inputs, laid_over(options, {}), rows=rows)
    return dataclasses.replace(made, others=tuple(step.name for step in pipeline.steps[len(steps) :]))
