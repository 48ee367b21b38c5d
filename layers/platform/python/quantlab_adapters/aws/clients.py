"""boto3 clients of one process, and the faults their errors become.

They are made by the session below boto3's own, which is all that clients need: boto3 itself loads
its resources and transfers as well, 50 ms of every cold start.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
)
from botocore.session import Session

from quantlab_app.ports.errors import Fault, Misconfigured, StoreUnavailable

if TYPE_CHECKING:
    from types_boto3_apigatewaymanagementapi.client import ApiGatewayManagementApiClient
    from types_boto3_events.client import EventBridgeClient
    from types_boto3_s3.client import S3Client
    from types_boto3_secretsmanager.client import SecretsManagerClient
    from types_boto3_sesv2.client import SESV2Client
    from types_boto3_sqs.client import SQSClient

CONNECT_TIMEOUT_S: Final = 2
READ_TIMEOUT_S: Final = 10
ATTEMPTS: Final = 3
# Who posts to a socket tries again itself, in order; a post that hangs may not hold others up.
POST_TIMEOUT_S: Final = 3
THREADS: Final = 64
# What no repetition mends: a name, a right or a credential is wrong.
_MISCONFIGURED: Final = frozenset(
    {
        "AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthFailure",
        "ForbiddenException", "InvalidAccessKeyId", "InvalidClientTokenId",
        "InvalidSignatureException", "SignatureDoesNotMatch", "UnrecognizedClientException",
        "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "NoSuchBucket",
        "ResourceNotFoundException",
    }
)  # fmt: skip
_MISCONFIGURED_ERRORS: Final = (NoCredentialsError, PartialCredentialsError, NoRegionError)

Answer = TypeVar("Answer")


class Clients:
    """Each client is made when it is first used and kept; calls block, so they run in threads."""

    def __init__(self, *, socket_endpoint: str | None = None, threads: int = THREADS) -> None:
        self._socket_endpoint = socket_endpoint
        self._threads = threads
        self._session: Session | None = None
        self._made: dict[str, Any] = {}
        self._making = threading.Lock()
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="aws")

    @property
    def sqs(self) -> "SQSClient":
        return cast("SQSClient", self._client("sqs"))

    @property
    def events(self) -> "EventBridgeClient":
        return cast("EventBridgeClient", self._client("events"))

    @property
    def s3(self) -> "S3Client":
        return cast("S3Client", self._client("s3"))

    @property
    def secrets_manager(self) -> "SecretsManagerClient":
        return cast("SecretsManagerClient", self._client("secretsmanager"))

    @property
    def ses(self) -> "SESV2Client":
        return cast("SESV2Client", self._client("sesv2"))

    @property
    def sockets(self) -> "ApiGatewayManagementApiClient":
        once = {"read_timeout": POST_TIMEOUT_S, "retries": {"total_max_attempts": 1}}
        client = self._client("apigatewaymanagementapi", self._socket_endpoint, once)
        return cast("ApiGatewayManagementApiClient", client)

    async def call(self, work: Callable[[], Answer]) -> Answer:
        """Run a blocking call in a thread; what fails is a fault."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._executor, work)
        except ParamValidationError:
            raise  # a bug of ours
        except (BotoCoreError, ClientError) as error:
            raise fault_of(error) from error

    async def close(self) -> None:
        """Give back connections and threads."""
        self._executor.shutdown(wait=False)
        for client in self._made.values():
            client.close()

    def _client(
        self, service: str, endpoint_url: str | None = None, other: dict[str, Any] | None = None
    ) -> Any:
        client = self._made.get(service)
        if client is not None:
            return client
        with self._making:  # a session is no matter for two threads
            if service not in self._made:
                self._session = self._session or Session()
                make: Any = self._session.create_client
                config = self._config.merge(Config(**(other or {})))
                self._made[service] = make(service, endpoint_url=endpoint_url, config=config)
            return self._made[service]

    @property
    def _config(self) -> Config:
        return Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            max_pool_connections=self._threads,
            tcp_keepalive=True,
        )


def error_code(error: ClientError) -> str:
    """Return the service's own name of an error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def fault_of(error: BotoCoreError | ClientError) -> Fault:
    """Say what an error is for the ports: something to mend, or something that may pass."""
    if isinstance(error, ClientError):
        where, code = error.operation_name, error_code(error)
        if code in _MISCONFIGURED:
            return Misconfigured(f"AWS {where}: {code}")
        return StoreUnavailable(f"AWS {where}: {code}")
    if isinstance(error, _MISCONFIGURED_ERRORS):
        return Misconfigured(f"AWS: {error}")
    return StoreUnavailable(f"AWS: {type(error).__name__}")
