"""Who is asked as whom, for tests of identities."""

from quantlab.tenancy.permissions import Role
from quantlab.tenancy.scope import Scope, system_scope
from tests.support.edge import NORTH, House, bearer

NOBODY = "00000000-0000-7000-8000-000000000000"


async def admin(house: House, tenant_id: str = NORTH) -> dict[str, str]:
    return bearer((await house.signed_in(Role.TENANT_ADMIN, tenant_id))["access_token"])


def scope_of(tenant_id: str) -> Scope:
    return system_scope(tenant_id, "tests", "tests")
