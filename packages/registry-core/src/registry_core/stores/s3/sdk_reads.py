"""The plain twin of `raw_reads`: GET and LIST by the SDK, as it documents them.

Slower. It answers what `raw_reads` leaves to the SDK, or everything where the environment says so:
for a release of the SDK whose insides differ from those that `raw_reads` knows, and to tell whose
fault something is. The same tests run on both.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from registry_core.errors import InvalidArgumentError
from registry_core.stores.s3.raw_reads import Key, Keys

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

READS_VARIABLE = "REGISTRY_S3_READS"
"""`raw`, as by default, or `sdk`: how a process reads objects and lists of a bucket."""

_NAMES = {
    "prefix": "Prefix",
    "max-keys": "MaxKeys",
    "continuation-token": "ContinuationToken",
    "start-after": "StartAfter",
}


def is_chosen(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether the environment asks for this twin.

    Raises:
        InvalidArgumentError: it asks for something else that there is not.
    """
    reads = environ.get(READS_VARIABLE) or "raw"
    if reads not in ("raw", "sdk"):
        raise InvalidArgumentError(f"{READS_VARIABLE} must be 'raw' or 'sdk', not '{reads}'")
    return reads == "sdk"


class SdkReader:
    """See `raw_reads.Reader`."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def get(self, key: str, *, unless: str | None = None) -> tuple[bytes, str]:
        """Return the body and ETag of an object.

        Raises:
            ClientError: 304 if the ETag is still `unless`.
        """
        condition: dict[str, Any] = {} if unless is None else {"IfNoneMatch": unless}
        reply = self._client.get_object(Bucket=self._bucket, Key=key, **condition)
        # Not `with body`: that gives the stream underneath, whose errors are urllib3's.
        with closing(reply["Body"]) as body:
            return body.read(), reply["ETag"]

    def list_keys(self, **parameters: str) -> Keys:
        """Return a page of a listing, by the parameters of ListObjectsV2 on the wire."""
        named: dict[str, Any] = {_NAMES[name]: value for name, value in parameters.items()}
        named["MaxKeys"] = int(named["MaxKeys"])
        reply = self._client.list_objects_v2(Bucket=self._bucket, **named)
        keys = tuple(
            Key(each["Key"], each["ETag"], each["Size"], each["LastModified"])
            for each in reply.get("Contents", ())
        )
        token = reply["NextContinuationToken"] if reply.get("IsTruncated") else None
        return Keys(keys, token, reply["ResponseMetadata"]["HTTPHeaders"].get("date", ""))
