"""Both stages, synthesized once, as the templates that CloudFormation would get."""

import json
import os
from pathlib import Path

import pytest

os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")
os.environ["CDK_VALIDATION"] = "false"

from aws_cdk import App

from quantlab_cdk.app import build, lambdas
from quantlab_cdk.places import ROOT
from tests.infra.template import Synthesized


def synthesized(folder: Path, **context: str) -> Synthesized:
    settings = json.loads((ROOT / "cdk.json").read_text("utf-8"))["context"]
    app = App(outdir=str(folder), context=settings | context, analytics_reporting=False)
    build(app)
    assembly = app.synth()
    spine, tenants, alarms = (
        assembly.get_stack_artifact(name).template for name in ("Spine", "Tenants", "Alarms")
    )
    stacks = frozenset(stack.id for stack in assembly.stacks)
    return Synthesized(spine, tenants, alarms, lambdas(), stacks)


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    return synthesized(tmp_path_factory.mktemp("aws"), stage="aws")


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    return synthesized(tmp_path_factory.mktemp("local"), stage="aws-local")
