"""What interrupted uploads have left in a bucket: the parts that others go on after."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from registry_core.artifacts.backends.s3_parts import PART_SIZE, KeptParts
from registry_core.artifacts.store import Reading

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def kept_parts(client: S3Client, bucket: str, key: str) -> KeptParts | None:
    """Return the parts of the newest upload to a key that nobody completed. Two requests.

    Parts are sent side by side, so that one may be missing: those before it count.
    """
    reply = client.list_multipart_uploads(Bucket=bucket, Prefix=key)
    uploads = [each for each in reply.get("Uploads", ()) if each["Key"] == key]
    if not uploads:
        return None
    newest = max(uploads, key=lambda each: each["Initiated"])["UploadId"]
    pages = client.get_paginator("list_parts").paginate(Bucket=bucket, Key=key, UploadId=newest)
    etags, size = list[str](), 0
    listed = (part for page in pages for part in page.get("Parts", ()))
    for number, part in enumerate(listed, 1):
        if part["PartNumber"] != number or part["Size"] < PART_SIZE:
            break  # A small one can only be the last.
        etags.append(part["ETag"])
        size += part["Size"]
    return KeptParts(newest, tuple(etags), size)


def digest_of(reading: Reading) -> str:
    """Return the digest of the bytes of a file."""
    digest = hashlib.sha256()
    with reading as pieces:
        for piece in pieces:
            digest.update(piece)
    return digest.hexdigest()
