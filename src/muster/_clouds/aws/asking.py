"""Asks AWS, with whatever credentials and region its own tools would use."""

import contextlib
import functools
import os
import re
from collections.abc import Iterator
from threading import Lock
from typing import Any, Final

import botocore.config
import botocore.credentials
import botocore.exceptions
import botocore.loaders
import botocore.parsers
import botocore.session
import botocore.utils

from muster._words.near import with_guess
from muster.errors import EngineError, UsageError

from .refusals import refusal_of

Client = Any
"""Of one of AWS' services: its library makes it out of data."""

_TRIES: Final = 8
"""How often what AWS throttles is asked for, with pauses that grow to 20 s."""


def region_of(named: str = "") -> str:
    """Tell the region: the one that is named, or the user's own. Raises ``UsageError`` where there is none."""
    # AWS' own tools obey AWS_REGION; the library beneath them knows only the other name.
    region = named or os.environ.get("AWS_REGION") or session().get_config_variable("region")
    if not region:
        raise UsageError(
            "No region of AWS is set. Type --region eu-central-1, or another one; or set AWS_REGION, or region in"
            " ~/.aws/config."
        )
    return str(region)


def client(service: str, region: str, *, seconds: float | None = None) -> Client:
    """Make a client, which retries what is throttled; with ``seconds`` it asks once, and waits no longer than that.

    Raises ``UsageError`` for a region that cannot be one, ``EngineError`` where credentials cannot be found.
    """
    words: dict[str, Any] = {"retries": {"mode": "standard", "total_max_attempts": _TRIES}}
    if seconds is not None:
        words = {"retries": {"total_max_attempts": 1}, "connect_timeout": seconds / 2, "read_timeout": seconds / 2}
    config = botocore.config.Config(**words)
    made = session()
    made.register_component("data_loader", _loader())
    made.register_component("credential_provider", _CREDENTIALS)
    check_region(region, made)
    try:
        with asking():  # a program that is to find credentials may fail
            return made.create_client(service, region_name=region, config=config)
    except ValueError as error:
        raise UsageError(f"AWS cannot be asked so: {error}. Look at AWS_ENDPOINT_URL, and at ~/.aws/config.") from error


def check_region(region: str, known: botocore.session.Session | None = None) -> None:
    """Raise ``UsageError`` for a region that cannot be one. AWS is not asked."""
    try:  # its library knows how names of regions are made up, also of new ones
        botocore.utils.validate_region_name(region)
        (known or session()).get_partition_for_region(region)
    except (botocore.exceptions.InvalidRegionError, botocore.exceptions.UnknownRegionError, ValueError) as error:
        raise UsageError(f"{region!r} is no region of AWS. Type one such as --region eu-central-1.") from error


def session() -> botocore.session.Session:
    """Make a session of AWS' library, once its settings can be read. Raises ``UsageError``."""
    made = botocore.session.Session()
    try:
        made.get_scoped_config()
    except botocore.exceptions.ProfileNotFound as error:
        there = ", ".join(made.available_profiles) or "none"
        raise UsageError(
            f"{error}. There are: {there}. Set AWS_PROFILE to one of them, or unset it; or make it, such as with aws"
            " configure sso."
        ) from error
    except botocore.exceptions.BotoCoreError as error:
        raise UsageError(f"The settings of AWS cannot be read: {error}. Mend ~/.aws/config, or that file.") from error
    return made


class _Credentials:
    """Finds credentials once, for all clients: it may start a program, or ask at the terminal.

    Those that last for a while renew themselves.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._found: dict[object, botocore.credentials.Credentials] = {}

    def load_credentials(self) -> botocore.credentials.Credentials | None:
        """Do what AWS' library asks a finder of credentials for."""
        said = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))
        with self._lock:
            if said not in self._found:
                found = session().get_credentials()
                if found is None:
                    return None
                self._found[said] = found
            return self._found[said]


_CREDENTIALS: Final = _Credentials()


@functools.cache
def _loader() -> botocore.loaders.Loader:
    """Keep what its library knows of AWS' services: reading that takes half a second for each client."""
    return botocore.loaders.create_loader(session().get_config_variable("data_path"))


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """Say in words what AWS' library raises. Raises ``EngineError``."""
    try:
        yield
    except botocore.exceptions.ClientError as error:
        raise refusal_of(error).error() from error
    except (botocore.exceptions.NoCredentialsError, botocore.exceptions.PartialCredentialsError) as error:
        raise EngineError(
            f"There are no credentials for AWS ({error}). Log in, such as with: aws sso login; or set"
            " AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        ) from error
    except botocore.exceptions.EndpointConnectionError as error:
        raise EngineError(f"AWS could not be asked: {error}. {_unreached(str(error))}") from error
    except (botocore.exceptions.BotoCoreError, botocore.parsers.ResponseParserError) as error:
        raise EngineError(f"AWS could not be asked: {error}. Try again, or look at your settings of AWS.") from error


def _unreached(said: str) -> str:
    """Say what to look at where nobody answers at an address: a region that does not exist has none."""
    region = re.search(r"\w+\.([a-z]+(-[a-z]+)+-\d+)\.", said)
    known = [
        name for one in session().get_available_partitions() for name in session().get_available_regions("ec2", one)
    ]
    if region and region[1] not in known:
        there = ", ".join(name for name in known if name.startswith(region[1].partition("-")[0])) or "none like it"
        return f"Is there a region {with_guess(region[1], known)}? Known here are: {there}."
    return "Is this computer online? Try again, or look at your settings of AWS."
