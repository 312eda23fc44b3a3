"""What AWS tells that moto does not know: quotas of EC2, list prices, and consoles."""

import base64
import json
from typing import Any

from aws.faults import Request

QUOTAS = {"L-1216C47A": 32.0, "L-34B43A08": 0.0}
LISTED = {"c7i.large": "0.1111000000", "m7i.large": "0.2222000000", "x9.large": "9.9000000000"}
"""Dollars an hour, of Linux on demand: other ones than AWS'."""

JSON = "application/x-amz-json-1.1"


def told(service: str, asked: Request) -> tuple[str, bytes] | None:
    """Answer a request, with type and body, where moto would not."""
    words = json.loads(asked.get("Body") or "{}") if service in {"servicequotas", "pricing"} else {}
    if asked["Action"] == "GetServiceQuota":
        body: Any = {"Quota": {"QuotaCode": words["QuotaCode"], "Value": QUOTAS[words["QuotaCode"]]}}
    elif asked["Action"] == "GetProducts":
        wanted = {one["Field"]: one["Value"] for one in words["Filters"]}
        body = {"FormatVersion": "aws_v1", "PriceList": [priced(name) for name in LISTED if fits(name, wanted)]}
    else:
        return None
    return JSON, json.dumps(body).encode()


def console(log: str) -> tuple[str, bytes]:
    """Answer with what an instance wrote on its console."""
    output = base64.b64encode(log.encode()).decode()
    return "text/xml", f"<GetConsoleOutputResponse><output>{output}</output></GetConsoleOutputResponse>".encode()


def fits(name: str, wanted: dict[str, str]) -> bool:
    assert wanted["operatingSystem"] == "Linux"
    assert wanted["tenancy"] == "Shared"
    return wanted.get("instanceType", name) == name


def priced(name: str) -> str:
    """Write a product as AWS does, in a text of its own."""
    dimension = {"unit": "Hrs", "pricePerUnit": {"USD": LISTED[name]}}
    terms = {"OnDemand": {"A.B": {"priceDimensions": {"A.B.C": dimension}}}}
    return json.dumps({"product": {"attributes": {"instanceType": name}}, "terms": terms})
