"""What AWS refuses: faults that a test has switched on, looked at before moto sees a request."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import uuid4

Request = Mapping[str, str]
"""The parameters of a request, its action and its zone among them."""


@dataclass
class Refusal:
    """Which requests AWS refuses, how many of them (all, without a number), and with what."""

    code: str
    message: str
    action: str = ""
    """Of any action where it is empty."""
    where: dict[str, str] = field(default_factory=dict)
    """What parameters must be; a value that ends in ``*`` is what they begin with."""
    after: int = 0
    """How many of them pass first."""
    times: int | None = None
    status: int = 400

    def meets(self, asked: Request) -> bool:
        """Tell whether it is about this request, and count it then."""
        if self.times == 0 or self.action not in {"", asked["Action"]}:
            return False
        if not all(_is_like(asked.get(name, ""), value) for name, value in self.where.items()):
            return False
        if self.after:
            self.after -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True

    def answer(self, service: str) -> tuple[str, bytes]:
        """Write type and body of the answer, in the way of that service."""
        if service in {"pricing", "servicequotas", "ssm"}:
            return "application/x-amz-json-1.1", json.dumps({"__type": self.code, "message": self.message}).encode()
        if service == "s3":
            body = f"<Error><Code>{self.code}</Code><Message>{self.message}</Message></Error>"
            return "application/xml", f'<?xml version="1.0" encoding="UTF-8"?>{body}'.encode()
        error = f"<Error><Code>{self.code}</Code><Message>{self.message}</Message></Error>"
        body = (
            f"<Response><Errors>{error}</Errors><RequestID>{uuid4()}</RequestID></Response>"
            if service == "ec2"
            else f"<ErrorResponse>{error}<RequestId>{uuid4()}</RequestId></ErrorResponse>"
        )
        return "text/xml", f'<?xml version="1.0" encoding="UTF-8"?>{body}'.encode()


def _is_like(value: str, wanted: str) -> bool:
    return value.startswith(wanted[:-1]) if wanted.endswith("*") else value == wanted
