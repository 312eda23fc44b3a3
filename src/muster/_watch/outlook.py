"""What a run's page says in words: what is awaited, what is wrong, and what to do about it."""

from dataclasses import dataclass
from typing import Final

from muster import _words as words
from muster import errors
from muster._watch.sums.moment import Look
from muster._watch.sums.processor import processor

_GOES_ON: Final = "What is done is kept: type the same command again, and the run goes on."
_OF_OLD: Final = "SIGTERM"
"""What journals mean that do not name the signal."""


@dataclass(frozen=True, slots=True)
class Remark:
    """A remark on a run: ``kind`` is how grave it is, ``detail`` the text of an error."""

    kind: str
    text: str
    title: str = ""
    detail: str = ""


def outlook(look: Look) -> str:
    """Say how long it will take, or what that depends on; of a run that is over, how long it took."""
    if look.is_starting:
        workers = look.view.attempts[-1].workers if look.view.attempts else 0
        return (
            f"waiting for the first of {words.plural(workers, 'worker')}" if workers > 1 else "waiting for its worker"
        )
    if look.silence:
        return f"nothing heard from muster for {words.duration(look.silence)}"
    if look.held:
        return "waiting for one call"
    if look.left:
        return f"{words.between(*look.left)} left"
    if look.is_going:
        return look.view.standing.phase
    took = words.duration(look.took)
    return f"{took} in all" if look.status == "finished" else f"{took} until it {_ENDED[look.status]}"


_ENDED: Final = {"stopped": "was stopped", "failed": "failed", "killed": "was killed"}


def remarks(look: Look) -> list[Remark]:
    """Say what is wrong with a run, or why it is not faster; the gravest first."""
    return [*_of_its_end(look), *_of_its_work(look)] if not look.is_going else _of_its_work(look)


def _of_its_end(look: Look) -> list[Remark]:
    when = words.clock(look.view.time.last_at)
    match look.status:
        case "stopped":
            error, text = look.view.stopped or ("", "")
            by = f"by a signal ({text or _OF_OLD})" if error == "Terminated" else "by you (Ctrl-C)"
            return [Remark("plain", f"Stopped {by} at {when}. {_GOES_ON}")]
        case "failed":
            error, text = look.view.stopped or ("", "")
            return [Remark("failed", "" if _advises(error) else _GOES_ON, f"Failed at {when}: {error}", text)]
        case "killed":
            return [Remark("warning", f"Killed at about {when}, or its computer went down. {_GOES_ON}")]
    return []


def _advises(error: str) -> bool:
    """Tell whether an error's text says itself what to type next, as each of muster's own does."""
    kind = getattr(errors, error, None)
    return isinstance(kind, type) and issubclass(kind, errors.MusterError)


def _of_its_work(look: Look) -> list[Remark]:
    remarks = []
    if look.silence:
        remarks.append(Remark("warning", _of_silence(look)))
    elif look.held:
        told = look.held.advice()
        remarks.append(Remark("warning", told[0].upper() + told[1:]))
    elif look.view.standing.waiting_for and look.is_going and not look.is_starting:
        remarks.append(Remark("plain", f"Waiting: {look.view.standing.waiting_for}."))
    use = processor(look)
    if use is not None and use.remark:
        remarks.append(Remark(use.kind, use.remark))
    return remarks


def _of_silence(look: Look) -> str:
    """Say why there may be no events: a run at work writes one every few seconds."""
    since = words.clock(look.view.time.last_at)
    if look.view.attempts and look.view.attempts[-1].engine == "inline":
        return (
            f"Nothing heard since {since}: with --workers 0 muster itself makes the call, and tells when it has ended."
        )
    return (
        f"Nothing heard from muster since {since}, though its process lives: it is stopped, or its computer sleeps or"
        " is overloaded. The figures here are of that time."
    )
