"""The verbs of the command line, a file each: ``add`` puts flags and examples into its parser, ``call`` runs it."""

from typing import Final

VERBS: Final = {
    "run": "run a function over every row of the inputs",
    "retry": "run the bad rows of an output again",
    "check": "tell whether a function is row-wise",
    "stop": "end a run that goes on, such as a stream",
    "up": "make a cluster, or make it larger or smaller",
    "status": "show the clusters and their machines, or how a run stands",
    "down": "end a cluster and all that runs on it",
    "sweep": "find and remove what muster has left on AWS",
    "image": "make, list and delete images of AWS that have all installed",
    "setup": "look whether machines can be made on AWS",
    "send": "send rows of files over TCP",
    "receive": "listen for rows over TCP, and keep them in files",
    "generate": "write synthetic rows to try things on",
    "runs": "list the runs, newest first",
    "watch": "serve a live page of the runs",
    "report": "write a report of a run",
    "completion": "print what completes commands in your shell",
    "help": "say how a verb is used, or print a page on a topic",
}
"""In the order of the help."""
