"""`quantlab openapi`: the public description of the HTTP side."""

import sys

from quantlab_server import app, plan


def openapi() -> None:
    """Print the OpenAPI document; the same functions always give the same bytes."""
    sys.stdout.write(app.openapi_text(plan.manifests()))
