"""The objects of a registry in a bucket, behind its store's back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from services.s3 import bucket_name


class Keys:
    """The objects under the store's prefix, behind its back."""

    def __init__(self, client: Any, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    def all(self) -> list[str]:
        listed = self._client.list_objects_v2(Bucket=bucket_name(), Prefix=self._prefix)
        return [each["Key"].removeprefix(f"{self._prefix}/") for each in listed["Contents"]]

    def get(self, key: str) -> bytes:
        body = self._client.get_object(Bucket=bucket_name(), Key=f"{self._prefix}/{key}")["Body"]
        return bytes(body.read())

    def put(self, key: str, body: bytes) -> None:
        self._client.put_object(Bucket=bucket_name(), Key=f"{self._prefix}/{key}", Body=body)

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=bucket_name(), Key=f"{self._prefix}/{key}")

    def change(self, key: str, change: Callable[[dict[str, Any]], object]) -> None:
        document = json.loads(self.get(key))
        change(document)
        self.put(key, json.dumps(document).encode())

    def texts(self) -> list[str]:
        return [key for key in self.all() if key.startswith("values/")]
