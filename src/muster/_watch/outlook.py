"""What a run's page says in words: what is awaited, what is wrong, and what to do about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from muster import _words as words
from muster import errors
from muster._journal.status import OnPurpose
from muster._watch.sums.moment import Moment
from muster._watch.sums.processor import processor

_GOES_ON: Final = "What is done is kept: type the same command again, and the run goes on."
_OF_OLD: Final = "SIGTERM"
"""What journals mean that do not name the signal."""
_BY: Final[Mapping[str, str]] = {
    OnPurpose.INTERRUPT: "by you (Ctrl-C)",
    OnPurpose.STOP: "by you (muster stop), when it had done what there was",
    OnPurpose.END: "by the end of its source, when it had done what there was",
}


@dataclass(frozen=True, slots=True)
class Remark:
    """A remark on a run: ``kind`` is how grave it is, ``detail`` the text of an error."""

    kind: str
    text: str
    title: str = ""
    detail: str = ""


def outlook(moment: Moment) -> str:
    """Say how long it will take, or what that depends on; of a run that is over, how long it took."""
    if moment.is_starting:
        workers = moment.view.attempts[-1].workers if moment.view.attempts else 0
        return (
            f"waiting for the first of {words.plural(workers, 'worker')}" if workers > 1 else "waiting for its worker"
        )
    if moment.silence:
        return f"nothing heard from muster for {words.duration(moment.silence)}"
    if moment.held:
        return "waiting for one call"
    if moment.left:
        return f"{words.between(*moment.left)} left"
    if moment.is_going:
        phase = moment.view.standing.phase
        return moment.stream.outlook if moment.stream and phase == "working" else phase
    took = words.duration(moment.took)
    return f"{took} in all" if moment.status == "finished" else f"{took} until it {_ENDED[moment.status]}"


_ENDED: Final = {"stopped": "was stopped", "failed": "failed", "killed": "was killed"}


def remarks(moment: Moment) -> list[Remark]:
    """Say what is wrong with a run, or why it is not faster; the gravest first."""
    return [*_of_its_end(moment), *_of_its_work(moment)] if not moment.is_going else _of_its_work(moment)


def _of_its_end(moment: Moment) -> list[Remark]:
    when = words.clock(moment.view.time.last_at)
    match moment.status:
        case "stopped":
            error, text = moment.view.stopped or ("", "")
            by = _BY.get(error, f"by a signal ({text or _OF_OLD})")
            return [Remark("plain", f"Stopped {by} at {when}. {_GOES_ON}")]
        case "failed":
            error, text = moment.view.stopped or ("", "")
            return [Remark("failed", "" if _advises(error) else _GOES_ON, f"Failed at {when}: {error}", text)]
        case "killed":
            return [Remark("warning", f"Killed at about {when}, or its computer went down. {_GOES_ON}")]
    return []


def _advises(error: str) -> bool:
    """Tell whether an error's text says itself what to type next, as each of muster's own does."""
    kind = getattr(errors, error, None)
    return isinstance(kind, type) and issubclass(kind, errors.MusterError)


def _of_its_work(moment: Moment) -> list[Remark]:
    remarks = []
    if moment.silence:
        remarks.append(Remark("warning", _of_silence(moment)))
    elif moment.held:
        told = moment.held.advice()
        remarks.append(Remark("warning", told[0].upper() + told[1:]))
    elif moment.stream and moment.stream.away and moment.is_going:
        remarks.append(Remark("warning", f"Rows cannot be sent on: {moment.stream.away}"))
    elif moment.view.standing.waiting_for and moment.is_going and not moment.is_starting:
        remarks.append(Remark("plain", f"Waiting: {moment.view.standing.waiting_for}."))
    use = processor(moment)
    if use is not None and use.remark:
        remarks.append(Remark(use.kind, use.remark))
    return remarks


def _of_silence(moment: Moment) -> str:
    """Say why there may be no events: a run at work writes one every few seconds."""
    since = words.clock(moment.view.time.last_at)
    if moment.view.attempts and moment.view.attempts[-1].engine == "inline":
        return (
            f"Nothing heard since {since}: with --workers 0 muster itself makes the call, and tells when it has ended."
        )
    return (
        f"Nothing heard from muster since {since}, though its process lives: it is stopped, or its computer sleeps or"
        " is overloaded. The figures here are of that time."
    )
