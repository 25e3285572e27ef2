"""A shelf in an S3-compatible store, through boto3, which the extra ``smshub[s3]`` brings.

Each PUT carries the SHA-256 of what it sends: a store that received something else refuses it (AWS S3 API, "Checking
object integrity"). Where the bucket keeps versions, removing hides an object and its old versions stay; a life-cycle
rule of the bucket has to end these.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
from collections.abc import Iterator
from typing import Any

from hub.keeping import ArchiveError

CONNECT_S = 10
READ_S = 60
ATTEMPTS = 4


class S3Shelf:
    """See ``Shelf``. Blocks, in a worker thread.

    Args:
        bucket: the bucket.
        prefix: before every name, without a slash at its end; may be empty.
        endpoint_url: the store's, or empty for Amazon's.
        region: the bucket's, or empty.
        access_key, secret_key: who asks; both empty to let boto3 find its own way (role of the machine, environment).

    Raises: ArchiveError: boto3 is not installed.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint_url: str = "",
        region: str = "",
        access_key: str = "",
        secret_key: str = "",
    ) -> None:
        try:
            boto3 = importlib.import_module("boto3")
            config = importlib.import_module("botocore.config")
            self._errors: Any = importlib.import_module("botocore.exceptions")
        except ImportError:
            raise ArchiveError("an archive in S3 needs boto3: install smshub[s3]") from None
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint_url or None,
            region_name=region or None,
            aws_access_key_id=access_key or None,
            aws_secret_access_key=secret_key or None,
            config=config.Config(
                connect_timeout=CONNECT_S,
                read_timeout=READ_S,
                retries={"max_attempts": ATTEMPTS, "mode": "standard"},
            ),
        )

    def put(self, name: str, octets: bytes) -> None:
        """See ``Shelf``."""
        checksum = base64.b64encode(hashlib.sha256(octets).digest()).decode()
        answer = self._ask(name, "put_object", Key=self._prefix + name, Body=octets, ChecksumSHA256=checksum)
        if answer.get("ChecksumSHA256", checksum) != checksum:
            raise ArchiveError(f"{name}: the store has it with another checksum")

    def get(self, name: str) -> bytes:
        """See ``Shelf``."""
        answer = self._ask(name, "get_object", Key=self._prefix + name)
        try:
            octets: bytes = answer["Body"].read()
        except (self._errors.BotoCoreError, OSError) as error:
            raise ArchiveError(f"{name}: {type(error).__name__}") from None
        return octets

    def remove(self, name: str) -> None:
        """See ``Shelf``."""
        self._ask(name, "delete_object", Key=self._prefix + name)

    def names(self, prefix: str) -> Iterator[str]:
        """See ``Shelf``."""
        more: dict[str, str] = {}
        while True:
            answer = self._ask(prefix, "list_objects_v2", Prefix=self._prefix + prefix, **more)
            for each in answer.get("Contents", ()):
                yield each["Key"][len(self._prefix) :]
            if not answer.get("IsTruncated"):
                return
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    def _ask(self, name: str, method: str, **words: Any) -> Any:
        try:
            return getattr(self._client, method)(Bucket=self._bucket, **words)
        except self._errors.ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            raise ArchiveError(f"{name}: the store of {self._bucket!r} refuses: {code}") from None
        except (self._errors.BotoCoreError, OSError) as error:
            raise ArchiveError(
                f"{name}: the store of {self._bucket!r} cannot be asked: {type(error).__name__}"
            ) from None
