"""Tick segments as objects of a bucket."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import Final

from botocore.exceptions import ClientError

from quantlab.market.quote import Quote
from quantlab_adapters.aws.clients import Clients, error_code
from quantlab_app.ports.errors import Misconfigured, NotFound

_ABSENT: Final = frozenset({"NoSuchKey", "404"})


class S3TickArchive:
    """TickArchive port. How ticks are written and read is given: pyarrow is for those who do it."""

    def __init__(
        self,
        clients: Clients,
        bucket: str,
        encode: Callable[[Sequence[Quote]], bytes],
        decode: Callable[[bytes], Sequence[Quote]],
    ) -> None:
        self._clients = clients
        self._bucket = bucket
        self._encode = encode
        self._decode = decode

    async def store(self, object_key: str, quotes: Sequence[Quote]) -> str:
        key = _checked(object_key)
        content = await asyncio.to_thread(self._encode, quotes)
        await self._clients.call(
            lambda: self._clients.s3.put_object(
                Bucket=self._bucket, Key=key, Body=content, ChecksumAlgorithm="SHA256"
            )
        )
        return hashlib.sha256(content).hexdigest()

    async def load(self, object_key: str) -> Sequence[Quote]:
        content = await self._clients.call(lambda: self._read(_checked(object_key)))
        if content is None:
            raise NotFound(f"tick archive: {object_key}")
        return await asyncio.to_thread(self._decode, content)

    def _read(self, key: str) -> bytes | None:
        try:
            return self._clients.s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error_code(error) in _ABSENT:
                return None
            raise


def _checked(object_key: str) -> str:
    if object_key.startswith("/") or ".." in object_key.split("/"):
        raise Misconfigured(f"tick archive: expected a plain key, got {object_key}")
    return object_key
