"""Tickets for sockets, which cannot send an Authorization header."""

from starlette.requests import Request
from starlette.responses import Response

from quantlab_app.use_cases import identity
from quantlab_edge.http import ApiModel, CredentialDep
from quantlab_edge.http import router as new_router
from quantlab_edge.requests import ports_of

router = new_router("sockets")


class TicketAnswer(ApiModel):
    """A ticket for `/ws?ticket=`; good once, for a few seconds."""

    ticket: str
    expires_in_seconds: int


@router.post("/socket-tickets", status_code=201)
async def issue_ticket(
    request: Request, response: Response, credential: CredentialDep
) -> TicketAnswer:
    """Issue a single-use ticket that opens one socket in the credential's name."""
    ports = ports_of(request)
    ticket = await identity.open_ticket(ports, credential)
    response.headers["cache-control"] = "no-store"
    return TicketAnswer(ticket=ticket, expires_in_seconds=ports.identity_policy.ticket_ttl_s)
