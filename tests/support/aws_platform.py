"""The whole platform as `make aws-local` starts it, on a local cloud of its own, from outside.

Offers what running_platform.Platform offers; roles other than the workers are Lambdas.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from unittest.mock import patch

from quantlab_app.ports.container import Ports
from quantlab_edge import compose_aws
from quantlab_edge.settings_aws import read_aws_settings
from quantlab_server.aws_local.cloud import Cloud, cloud_variables
from quantlab_server.aws_local.deploy import deployment_of
from tests.support.running_platform import Platform


@dataclass
class AwsPlatform(Platform):
    """A group that runs on home/state; port is where MiniStack listens."""

    up_wait_s = 500
    keeps_bytes = False
    # Each request at once asks for another copy of a Lambda; copies that start together share the
    # cores, and one that needs longer than its timeout is killed and starts anew.
    senders = 4

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return str(self.demo["url"])

    @property
    def variables(self) -> dict[str, str]:
        """What reaches this cloud: for boto3, and for our settings."""
        cloud = Cloud(self.endpoint, ours=True)
        return {
            **deployment_of(self.state).variables,
            **cloud_variables(cloud, {}),
            "QUANTLAB_CONFIGS": str(self.configs),
            "QUANTLAB_FUNCTION": "deploy/tests",
        }

    def up(self) -> None:
        done = self._quantlab("aws-local up", "--port", str(self.port), "--feed", self.feed)
        assert done.returncode == 0, f"{done.stderr}\n{self.last_words()}"

    def down(self) -> None:
        done = self._quantlab("aws-local down")
        assert done.returncode == 0, done.stderr

    @asynccontextmanager
    async def ports(self) -> AsyncIterator[Ports]:
        """Reach the stores and the cloud as a Lambda that may use everything does."""
        with patch.dict(os.environ, self.variables):
            made = await compose_aws.build(read_aws_settings(), None)
            try:
                yield made
            finally:
                await made.close()
