"""Results of backtests as objects of the archive's bucket."""

from typing import Final

from botocore.exceptions import ClientError

from quantlab_adapters.aws.clients import Clients, error_code
from quantlab_app.ports.errors import NotFound

_ABSENT: Final = frozenset({"NoSuchKey", "404"})


class S3ResultFiles:
    """ResultFiles port."""

    def __init__(self, clients: Clients, bucket: str) -> None:
        self._clients = clients
        self._bucket = bucket

    async def store(self, key: str, content: bytes) -> None:
        await self._clients.call(
            lambda: self._clients.s3.put_object(
                Bucket=self._bucket, Key=key, Body=content, ChecksumAlgorithm="SHA256"
            )
        )

    async def load(self, key: str) -> bytes:
        content = await self._clients.call(lambda: self._read(key))
        if content is None:
            raise NotFound(f"result {key}")
        return content

    def _read(self, key: str) -> bytes | None:
        try:
            return self._clients.s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error_code(error) in _ABSENT:
                return None
            raise
