"""Nothing: without a route, the edge answers that there is none."""

from quantlab_edge.http import router as new_router

router = new_router("not_found")
