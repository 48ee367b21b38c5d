"""The one place where adapters are built: settings in, ports out."""

from quantlab_adapters.postgres.database import Database
from quantlab_adapters.redis import client as redis_client
from quantlab_adapters.selfhost.clock import SystemClock, SystemIds
from quantlab_app.ports.container import Ports
from quantlab_edge.settings import Settings


async def build(settings: Settings) -> Ports:
    """Connect the self-hosted family; the caller awaits `ports.close()` at the end."""
    database = Database(settings.database_url.get_secret_value(), max_size=settings.pool_size)
    await database.open()
    redis = redis_client.connect(settings.redis_url.get_secret_value())

    async def close() -> None:
        await redis.aclose()
        await database.close()

    return Ports(clock=SystemClock(), ids=SystemIds(), close=close)
