"""Where what Pulumi knows of a cluster lies: in the cluster's folder, or in a bucket of S3 that the user names."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from botocore.exceptions import ClientError

from muster._private.files import own_folder
from muster.errors import EngineError, UsageError

from .asking import Client, asking, client
from .buckets import Bucket, bucket_in
from .pulumi_locks import Lock, lock_in

_STACKS: Final = ".pulumi/stacks/"
_LOCKS: Final = ".pulumi/locks/"
_NO_BUCKET: Final = "NoSuchBucket"


class NoBucketError(EngineError):
    """Say that the bucket is not there."""


class State(Protocol):
    """The state of one cluster. Each method raises ``EngineError`` where it cannot be reached."""

    def url(self) -> str:
        """Name it as Pulumi does, once it is sure that Pulumi can write there."""
        ...

    def has(self, stack: str) -> bool:
        """Tell whether anything is known of the stack."""
        ...

    def locks(self, stack: str) -> list[Lock]:
        """Read who has the stack."""
        ...

    def remove(self) -> None:
        """Remove it, with the history that Pulumi keeps of it."""
        ...


@dataclass(frozen=True, slots=True)
class StateFolder:
    """One in a folder of this computer."""

    folder: Path

    def url(self) -> str:
        """Do as ``State`` says."""
        return own_folder(self.folder).absolute().as_uri()

    def has(self, stack: str) -> bool:
        """Do as ``State`` says."""
        return any(_is_of(path.name, stack) for path in self.folder.glob(f"{_STACKS}**/*"))

    def locks(self, stack: str) -> list[Lock]:
        """Do as ``State`` says."""
        found = []
        for path in sorted(self.folder.glob(f"{_LOCKS}**/{stack}/*.json")):
            with contextlib.suppress(FileNotFoundError):  # it was given back meanwhile
                found.append(lock_in(path.read_text(errors="replace"), str(path)))
        return found

    def remove(self) -> None:
        """Do nothing: it goes with the cluster's folder."""


@dataclass(frozen=True, slots=True)
class StateBucket:
    """One in a bucket, below a name that no other cluster has; ``region`` is where the bucket is looked for first."""

    bucket: Bucket
    name: str
    region: str

    def url(self) -> str:
        """Do as ``State`` says. Pulumi has to be told the bucket's region, which need not be that of the machines."""
        self._keys(_STACKS)  # an answer without a body, as to the next request, would not say why it is refused
        with self._asking() as s3:
            headers = s3.head_bucket(Bucket=self.bucket.name)["ResponseMetadata"]["HTTPHeaders"]
        return f"{self._place}?region={headers.get('x-amz-bucket-region', self.region)}"

    def has(self, stack: str) -> bool:
        """Do as ``State`` says."""
        return any(_is_of(key.rpartition("/")[2], stack) for key in self._keys(_STACKS))

    def locks(self, stack: str) -> list[Lock]:
        """Do as ``State`` says."""
        keys = [key for key in self._keys(_LOCKS) if f"/{stack}/" in key and key.endswith(".json")]
        read = {key: self._read(key) for key in keys}
        return [lock_in(text, f"s3://{self.bucket.name}/{key}") for key, text in read.items() if text is not None]

    def remove(self) -> None:
        """Do as ``State`` says: also what Pulumi leaves of a stack that it has removed."""
        with contextlib.suppress(NoBucketError):
            keys = self._keys("")
            with self._asking() as s3:
                for key in keys:
                    s3.delete_object(Bucket=self.bucket.name, Key=key)

    @property
    def _place(self) -> str:
        return f"s3://{self.bucket.name}/{self.bucket.prefix}{self.name}"

    def _keys(self, below: str) -> list[str]:
        prefix = f"{self.bucket.prefix}{self.name}/{below}"
        with self._asking() as s3:
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket.name, Prefix=prefix)
            return [str(one["Key"]) for page in pages for one in page.get("Contents", ())]

    def _read(self, key: str) -> str | None:
        """Read an object; ``None`` where it was removed meanwhile."""
        with self._asking() as s3:
            try:
                return str(s3.get_object(Bucket=self.bucket.name, Key=key)["Body"].read().decode(errors="replace"))
            except ClientError as error:
                if error.response["Error"]["Code"] != "NoSuchKey":
                    raise
                return None

    @contextlib.contextmanager
    def _asking(self) -> Iterator[Client]:
        try:
            with asking():
                yield client("s3", self.region)
        except EngineError as error:
            cause = error.__cause__
            if isinstance(cause, ClientError) and cause.response["Error"]["Code"] == _NO_BUCKET:
                raise NoBucketError(
                    f"There is no bucket {self.bucket.name!r}, in which Pulumi's state shall lie. Make it, such as with"
                    f" aws s3 mb s3://{self.bucket.name} --region {self.region}; or mend state:, or leave it out."
                ) from error
            raise EngineError(f"Pulumi's state shall lie in {self._place}. {error}") from error


def state_in(url: str, name: str, region: str) -> State | None:
    """Tell where the state lies of a cluster of that name, as the user says; ``None`` where nothing is said."""
    return StateBucket(bucket_in(url), name, region) if url else None


def check_state(url: str, region: str) -> None:
    """Look whether the bucket is there and may be read. Raises ``UsageError``, ``EngineError``."""
    if url:
        try:
            StateBucket(bucket_in(url), "muster", region).url()
        except NoBucketError as error:
            raise UsageError(str(error)) from error


def _is_of(name: str, stack: str) -> bool:
    return name in {f"{stack}.json", f"{stack}.json.gz"}  # as PULUMI_DIY_BACKEND_GZIP says
