"""Whether PostgreSQL answers."""

from quantlab_adapters.postgres.database import Database


class PostgresProbe:
    """Probe port."""

    name = "postgresql"

    def __init__(self, database: Database) -> None:
        self._database = database

    async def touch(self) -> None:
        async with self._database.plain() as connection:
            await connection.execute("select 1")
