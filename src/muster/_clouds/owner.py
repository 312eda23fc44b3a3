"""Whose machines are: what hosts and makers of machines are told of this user."""

import getpass
import socket


def me() -> str:
    """Name this user and this computer, as USER@COMPUTER."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
