"""Take over the rows of an output that stands there, as an earlier run laid them; a retry then does the others."""

import json
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from muster._formats.unseal import Cut, Unseal
from muster._journal.events import EarlierRowsTaken, Event, Kept, Standing
from muster._model import Outcome, Part, Piece, PieceLocation, Seconds, Source, Span
from muster._output.build import OutputBuilder
from muster._output.folder import WorkFolder
from muster._private.files import private
from muster._progress.cuts import narrowed
from muster._run.history.past import Past
from muster._urls.urls import download
from muster._words import plural
from muster.errors import EngineError, UsageError

from .run import Run

BEFORE: Final = "before"
"""What the output is called in the work folder, while a retry reads it."""

NOT_AS_WRITTEN: Final = (
    "The output is not what was written any more, whose bad groups are done again. Nothing was written. Run the whole"
    " again, with --fresh."
)

Ask = Callable[[Sequence[Any]], list[Any]]


class RowsLeft(NamedTuple):
    """Rows of the output that is there which lie together, and their text, if it is one of text."""

    rows: int
    bytes: int
    crc: int


class _Kept(NamedTuple):
    """Rows that are taken over, and what is cut out of the output for them, if they have any there."""

    outcome: Outcome
    cut: Cut | None


def lay_out(run: Run, parts: Sequence[Part], ask: Ask) -> Iterator[Event]:
    """Take over what needs not be done again of a run's output; yield what the journal is to say of that."""
    if run.earlier is None:
        return
    earlier_output = EarlierOutput(run.earlier, parts, run.sources, run.work, run.output_builder)
    yield Standing(run.work.standing())
    earlier_output.fetch()
    if not run.job.exchanges:  # else where its rows stand among new ones is known once these are there
        for outcome in earlier_output.outcomes(ask):
            yield Kept(outcome)
    yield EarlierRowsTaken()


@dataclass(slots=True)
class EarlierOutput:
    """The output of an earlier run, and the parts of its input."""

    earlier: Past
    parts: Sequence[Part]
    sources: Sequence[Source]
    work: WorkFolder
    output_builder: OutputBuilder
    _names: int = field(default=0, init=False)

    def outcomes(self, ask: Ask) -> Iterator[Outcome]:
        """Yield what needs not be done again, with pieces in the work folder. Raises ``UsageError`` for a mismatch."""
        by_place = lambda one: (one.task.file, one.task.lo, one.task.first)  # noqa: E731 (a key)
        before = sorted(self.earlier.kept.values(), key=by_place)
        written = [outcome for outcome in before if outcome.output is not None]
        schemas = self._schemas_of(written)
        kept = [list(self._kept_of(outcome, schemas.get(id(outcome), b""))) for outcome in before]
        rejected = self._rejected([one.outcome for own in kept for one in own if one.outcome.bad_rows])
        of_written = [own for own, outcome in zip(kept, before, strict=True) if outcome.output is not None]
        cuts = [[one.cut for one in own if one.cut] for own in of_written]
        _check_add_up(cuts, written)
        pieces = self._pieces(cuts, ask)
        for one in (one for own in kept for one in own):
            outcome = one.outcome
            if one.cut is not None:
                if (piece := pieces[one.cut.name]) is None:
                    continue
                outcome = outcome._replace(output=piece)
            if outcome.bad_rows:
                if (lines := rejected.get((outcome.task.file, outcome.task.lo))) is None:
                    continue
                outcome = outcome._replace(rejects=lines)
            yield outcome

    def pieces_of(self, stretches: Sequence[Sequence[RowsLeft]], outcomes: Sequence[Outcome], ask: Ask) -> list[Piece]:
        """Give the rows of each stretch of some outcomes, none of which has a bad row.

        Raises ``EngineError`` where the output does not hold them any more.
        """
        schemas = self._schemas_of(outcomes)
        cuts = [
            [Cut(self._name(), one.rows, one.bytes, one.crc, schemas.get(id(outcome), b"")) for one in own]
            for own, outcome in zip(stretches, outcomes, strict=True)
        ]
        pieces = self._pieces(cuts, ask)
        found = [piece for own in cuts for cut in own if (piece := pieces[cut.name]) is not None]
        if len(found) < len(pieces):
            raise EngineError(NOT_AS_WRITTEN)
        return found

    def _kept_of(self, outcome: Outcome, arrow: bytes) -> Iterator[_Kept]:
        """Keep all rows of an outcome, or those between its bad ones."""
        if not outcome.bad_rows:
            piece = outcome.output
            cut = Cut(self._name(), piece.rows, piece.bytes, piece.crc, arrow) if piece else None
            plain = outcome._replace(seconds=Seconds(), output=None, task=narrowed(self.parts, outcome.task))
            yield _Kept(plain, cut)
            return
        for span in outcome.spans:
            yield _Kept(self._between(outcome, span), self._cut(span, arrow))

    def _between(self, outcome: Outcome, span: Span) -> Outcome:
        task = narrowed(self.parts, outcome.task._replace(lo=span.lo, hi=span.hi))
        written = outcome.written or outcome.schema
        return Outcome(
            task,
            span.hi - span.lo,
            span.rows_out,
            bad_rows=span.bad_rows,
            schema=span.schema,
            written=None if written == span.schema else written,
            spans=(span,) if span.bad_rows else (),
        )

    def _cut(self, span: Span, arrow: bytes) -> Cut | None:
        has_piece = span.schema is not None if self.output_builder.format == "parquet" else span.rows_out
        return (
            Cut(name=self._name(), rows=span.rows_out, size=span.bytes, crc=span.crc, arrow=arrow, own=span.schema)
            if has_piece
            else None
        )

    def _name(self) -> str:
        self._names += 1
        return f"before-{self._names}.rows"

    def _schemas_of(self, written: Sequence[Outcome]) -> dict[int, bytes]:
        if self.output_builder.format != "parquet" or not written:
            return {}
        layout = self.earlier.mending.layout
        return {id(outcome): layout.schemas[at] for outcome, at in zip(written, layout.of_pieces, strict=True)}

    # Rows

    def _pieces(self, cuts: Sequence[Sequence[Cut]], ask: Ask) -> dict[str, Piece | None]:
        """Cut the output up; ``None`` for a piece that cannot be had as it was."""
        if not cuts:
            return {}
        if not self.earlier.mending.layout.volumes:
            return dict(self._places(cuts))
        questions = list(self._questions(cuts))
        answers = [answer for question in ask(questions) for answer in question]
        asked = [cut for question in questions for cut in question.cuts]
        return {
            cut.name: None if size < 0 else Piece(cut.name, size, crc, cut.rows, stamp=stamp)
            for cut, (size, crc, stamp) in zip(asked, answers, strict=True)
        }

    def _places(self, cuts: Sequence[Sequence[Cut]]) -> Iterator[tuple[str, Piece]]:
        """Leave the rows of a plain file of text where they are, behind its header."""
        every = [cut for own in cuts for cut in own]
        at = self.earlier.mending.layout.bytes - sum(cut.size for cut in every)
        for cut in every:
            yield cut.name, Piece(cut.name, cut.size, cut.crc, cut.rows, PieceLocation(BEFORE, at))
            at += cut.size

    def _questions(self, cuts: Sequence[Sequence[Cut]]) -> Iterator[Unseal]:
        volumes = self.earlier.mending.layout.volumes
        files = self._files(len(volumes))
        rest, offset, row = iter(cuts), 0, 0
        for (pieces, size), file in zip(volumes, files, strict=True):
            own = tuple(cut for _ in range(pieces) for cut in next(rest))
            is_apart = self.work.is_folder
            folder = self.work.staging or str(self.work.parts)
            start, first = (0, 0) if is_apart else (offset, row)
            if own:
                yield Unseal(
                    path=file,
                    offset=start,
                    size=size or -1,
                    row=first,
                    format=self.output_builder.format,
                    codec=self.output_builder.codec,
                    cuts=own,
                    folder=folder,
                )
            offset, row = offset + size, row + sum(cut.rows for cut in own)

    def _files(self, count: int) -> list[str]:
        """Name the file of each volume: those of a folder, or one that has them all."""
        if not self.work.is_folder:
            return [str(self.work.folder / BEFORE)] * count
        names = [part["name"] for part in json.loads(self.work.manifest() or b"{}").get("parts", [])]
        if len(names) != count:
            raise UsageError(
                f"{self.work.output!r} has {plural(len(names), 'part')}, and the run that made it wrote {count}."
            )
        return [f"{self.work.output.rstrip('/')}/{name}" for name in names]

    def fetch(self) -> None:
        """Have an output of one file under a second name, which stays when another output takes its place."""
        if self.work.is_folder:
            return
        path = self.work.unused(BEFORE)
        if self.work.is_remote:
            download(self.work.output, path)
            return
        output = Path(self.work.address)
        try:
            path.hardlink_to(output)
        except OSError:  # a file system without hard links
            shutil.copyfile(output, path)

    # Bad rows

    def _rejected(self, outcomes: Iterable[Outcome]) -> dict[tuple[int, int], Piece]:
        """Keep the lines of rows that could not be read, and still cannot: their text is what it was."""
        lines: dict[tuple[int, int], list[bytes]] = {}
        place = {}
        for outcome in outcomes:
            key = (outcome.task.file, outcome.task.lo)
            lines[key] = []
            place[key] = outcome
        numbers = {source.name: at for at, source in enumerate(self.sources)}
        keys = sorted(lines)
        at = 0
        for line in self.work.rejected() if keys else ():
            said = json.loads(line)
            row = (numbers.get(said["file"], -1), int(said["row"]))
            while at + 1 < len(keys) and keys[at + 1] <= row:
                at += 1
            key = keys[at]
            if key <= row < (key[0], place[key].task.hi):
                lines[key].append(line)
        whole = {key: own for key, own in lines.items() if len(own) == place[key].bad_rows}
        return {key: self._written(own) for key, own in whole.items()}

    def _written(self, lines: Sequence[bytes]) -> Piece:
        self._names += 1
        name, data = f"before-{self._names}.rejects", b"".join(lines)
        with open(self.work.parts / name, "wb", opener=private) as file:
            file.write(data)
        return Piece(name, len(data), zlib.crc32(data), len(lines))


def _check_add_up(cuts: Sequence[Sequence[Cut]], written: Sequence[Outcome]) -> None:
    """Raise ``EngineError`` rather than cut an output up in the wrong places."""
    for own, outcome in zip(cuts, written, strict=True):
        if outcome.output is not None and sum(cut.rows for cut in own) != outcome.output.rows:
            raise EngineError(
                f"The rows {outcome.task.lo} to {outcome.task.hi} of an input do not add up to what was written of"
                " them, so nothing was. This is muster's fault; please report it. Run the whole again, with muster run."
            )
