"""Asks AWS, with whatever credentials and region its own tools would use."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any, Final

import botocore.config
import botocore.exceptions
import botocore.loaders
import botocore.parsers
import botocore.session

from muster.errors import EngineError, UsageError

from .refusals import refusal_of

Client = Any
"""Of one of AWS' services: its library makes it out of data."""

_ATTEMPTS: Final = 8
"""How often what AWS throttles is asked for, with pauses that grow to 20 s."""


def region_of(named: str = "") -> str:
    """Tell the region: the one that is named, or the user's own. Raises ``UsageError`` where there is none."""
    region = named or botocore.session.Session().get_config_variable("region")
    if not region:
        raise UsageError(
            "No region of AWS is set. Type --region eu-central-1, or another one; or set AWS_REGION, or region in"
            " ~/.aws/config."
        )
    return str(region)


def client(service: str, region: str, *, seconds: float | None = None) -> Client:
    """Make a client, which retries what is throttled; with ``seconds`` it asks once, and waits no longer than that.

    Raises ``UsageError`` for a region that cannot be one.
    """
    words: dict[str, Any] = {"retries": {"mode": "standard", "total_max_attempts": _ATTEMPTS}}
    if seconds is not None:
        words = {"retries": {"total_max_attempts": 1}, "connect_timeout": seconds / 2, "read_timeout": seconds / 2}
    config = botocore.config.Config(**words)
    session = _session()
    try:
        session.get_partition_for_region(region)  # it knows how names of regions are made up, also of new ones
        return session.create_client(service, region_name=region, config=config)
    except (botocore.exceptions.InvalidRegionError, botocore.exceptions.UnknownRegionError, ValueError) as error:
        raise UsageError(f"{region!r} is no region of AWS. Type one such as --region eu-central-1.") from error


def _session() -> botocore.session.Session:
    session = botocore.session.Session()
    session.register_component("data_loader", _loader())
    return session


@functools.cache
def _loader() -> botocore.loaders.Loader:
    """Keep what its library knows of AWS' services: reading that takes half a second for each client."""
    return botocore.loaders.create_loader(botocore.session.Session().get_config_variable("data_path"))


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
    except (botocore.exceptions.BotoCoreError, botocore.parsers.ResponseParserError) as error:
        raise EngineError(f"AWS could not be asked: {error}. Try again, or look at your settings of AWS.") from error
