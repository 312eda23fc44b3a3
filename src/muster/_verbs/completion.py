"""``muster completion``: the script that has a shell complete the commands of muster."""

from argparse import Namespace
from typing import Final

from ._answer import tell
from ._parser import Parser

SHELLS: Final = ("bash", "zsh", "fish")


def add(verb: Parser) -> None:
    verb.set_defaults(call=call)
    verb.description = (
        "Print a script. Once your shell has loaded it, the Tab key completes verbs, flags, their values, files, the"
        " functions of a file (file.py:<Tab>), clusters and runs. The script asks the muster that you are typing; that"
        " of an environment is asked where it is active, or typed with its folder."
    )
    verb.examples = (
        (
            "muster completion bash > ~/.local/share/bash-completion/completions/muster",
            'for bash. Make that folder first; or put eval "$(muster completion bash)" into ~/.bashrc',
        ),
        ("muster completion zsh > ~/.zfunc/_muster", "for zsh; in ~/.zshrc: fpath+=~/.zfunc, before compinit"),
        ("muster completion fish > ~/.config/fish/completions/muster.fish", "for fish"),
    )
    verb.add_argument("shell", choices=SHELLS, metavar="SHELL", help="bash, zsh or fish")


def call(parsed: Namespace) -> int:
    """Return the exit code."""
    from argcomplete.shell_integration import shellcode

    tell(shellcode(["muster"], shell=parsed.shell, use_defaults=False).rstrip())
    return 0
