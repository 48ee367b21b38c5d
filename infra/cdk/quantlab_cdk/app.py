"""The app: the stage from the context, the functions from their manifests, the stacks."""

from aws_cdk import App, Tags, Validations
from cdk_nag import AwsSolutionsChecks

from quantlab_cdk.alarms import Alarms
from quantlab_cdk.code import gather
from quantlab_cdk.places import FUNCTIONS
from quantlab_cdk.spine import Spine
from quantlab_cdk.stage import stage_of
from quantlab_cdk.sweeps import Sweeps
from quantlab_cdk.tenants import Tenants
from quantlab_manifest import Manifest, load_all


def lambdas() -> tuple[Manifest, ...]:
    """Return the manifests of what runs as a Lambda: everything but workers."""
    return tuple(m for m in load_all(FUNCTIONS) if m.kind != "worker")


def build(app: App) -> None:
    """Add the stacks of the stage that the context names."""
    stage = stage_of(app.node)
    manifests = lambdas()
    code = gather(manifests, stage)
    spine = Spine(app, stage, manifests, code)
    for stack in (Tenants(app, stage, manifests), Alarms(app, stage, manifests)):
        stack.add_stack_dependency(spine)
    if stage.sweep_image is not None:
        Sweeps(app, stage, stage.sweep_image)
    Tags.of(app).add("quantlab:stage", stage.name)


def synthesize() -> None:
    """Write the assembly; cdk-nag judges it, but not each start of a local cloud."""
    app = App()
    build(app)
    if app.node.try_get_context("local_endpoint") is None:
        Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    app.synth()
