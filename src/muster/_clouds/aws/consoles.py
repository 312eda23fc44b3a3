"""What machines say on their consoles, which AWS keeps: heard also from one that nobody reaches."""

import contextlib
from collections.abc import Mapping
from typing import Final

from botocore.exceptions import ClientError

from muster.errors import MusterError

from .asking import Client, asking, client
from .user_data import UP

_ASK_SECONDS: Final = 10.0
"""AWS answers within a second; machines that boot are waited for meanwhile."""


def booted(region: str, instances: Mapping[str, str]) -> set[str]:
    """Name those that have said that they are up; ``instances`` are their ids, by name. It never raises.

    One whose console may not be read counts as not up yet.
    """
    up = set()
    with contextlib.suppress(MusterError):
        ec2 = client("ec2", region, seconds=_ASK_SECONDS)
        for name, instance in instances.items():
            with contextlib.suppress(MusterError), asking():  # one that has ended hides none that is up
                if UP in _console(ec2, instance):
                    up.add(name)
    return up


def _console(ec2: Client, instance: str) -> str:
    """Read it as it is now; types of before 2017 have only what AWS copied some minutes after they had booted."""
    try:
        answer = ec2.get_console_output(InstanceId=instance, Latest=True)
    except ClientError as error:
        if error.response["Error"]["Code"] != "UnsupportedOperation":
            raise
        answer = ec2.get_console_output(InstanceId=instance)
    return str(answer.get("Output", ""))
