"""Sockets that API Gateway holds, through its management API."""

from collections.abc import Callable

from botocore.exceptions import ClientError

from quantlab_adapters.aws.clients import Clients, error_code


class GatewayPushes:
    """Pushes port."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    async def post(self, connection_id: str, text: str) -> bool:
        data = text.encode()

        def post() -> None:
            self._clients.sockets.post_to_connection(ConnectionId=connection_id, Data=data)

        return await self._clients.call(lambda: _reached(post))

    async def drop(self, connection_id: str) -> None:
        def delete() -> None:
            self._clients.sockets.delete_connection(ConnectionId=connection_id)

        await self._clients.call(lambda: _reached(delete))


def _reached(send: Callable[[], None]) -> bool:
    try:
        send()
    except ClientError as error:
        if error_code(error) in ("GoneException", "410"):
            return False
        raise
    return True
