"""Deep health, Prometheus metrics and the OpenAPI document, for operators and their machines."""

from typing import Literal

import structlog
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import Response

from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.use_cases.health import health
from quantlab_edge import observe
from quantlab_edge.http import PUBLIC, ApiModel
from quantlab_edge.http import router as new_router
from quantlab_edge.requests import ports_of

router = new_router("system")


class StoreView(ApiModel):
    """One store, and how long it took to answer or to fail."""

    name: str
    status: Literal["up", "down"]
    latency_ms: float


class HealthView(ApiModel):
    """down when any store is down; the feed's age is null when no feed has run."""

    status: Literal["up", "down"]
    stores: list[StoreView]
    feed_clock_age_ms: int | None


@router.get("/health", openapi_extra=PUBLIC, responses={503: {"model": HealthView}})
async def get_health(request: Request, response: Response) -> HealthView:
    """Ask every store; 503 when one is down."""
    found = await health(ports_of(request))
    response.headers["cache-control"] = "no-store"
    if not found.up:
        response.status_code = 503
        response.headers["retry-after"] = "1"
    return HealthView(
        status="up" if found.up else "down",
        stores=[
            StoreView(
                name=store.name,
                status="up" if store.up else "down",
                latency_ms=store.latency_us / 1000,
            )
            for store in found.stores
        ],
        feed_clock_age_ms=None if found.feed_age_ns is None else found.feed_age_ns // 1_000_000,
    )


@router.get("/metrics", openapi_extra=PUBLIC, response_class=Response)
async def get_metrics(request: Request) -> Response:
    """Return this process's numbers, and those every other process left lately."""
    entries = [observe.BoardEntry("server", "self", observe.own_text())]
    try:
        left = await ports_of(request).metrics_board.entries()
        entries.extend(observe.BoardEntry(*entry) for entry in left)
    except StoreUnavailable as error:
        structlog.get_logger("quantlab.observe").warning("no board", cause=str(error))
    return Response(observe.exposition(entries), media_type=CONTENT_TYPE_PLAIN_0_0_4)


@router.get("/openapi.json", include_in_schema=False, openapi_extra=PUBLIC)
async def get_openapi(request: Request) -> Response:
    """Return the description of every function's routes."""
    return Response(request.app.state.describe(), media_type="application/json")
