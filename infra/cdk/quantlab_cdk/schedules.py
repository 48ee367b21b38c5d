"""EventBridge rules: a timer per schedule manifest, and one that sweeps each queue."""

from typing import Final

from aws_cdk import Duration
from aws_cdk.aws_events import Rule, Schedule
from aws_cdk.aws_events_targets import LambdaFunction
from aws_cdk.aws_lambda import Function
from constructs import Construct

from quantlab_cdk.functions import pascal
from quantlab_cdk.stage import Stage
from quantlab_manifest import Manifest, ScheduleWake

MINUTE_MS: Final = 60_000
SWEEP_EVERY: Final = Duration.minutes(1)


def minutes(wake: ScheduleWake) -> int:
    """Return how often a rule fires: never more than once a minute."""
    return max(1, round(wake.every_ms / MINUTE_MS))


def schedule(
    scope: Construct, stage: Stage, manifest: Manifest, wake: ScheduleWake, function: Function
) -> Rule:
    """Wake a function by a timer; a run that could not start is not made up for by a later one."""
    return _rule(scope, stage, manifest, function, Duration.minutes(minutes(wake)))


def sweep(scope: Construct, stage: Stage, manifest: Manifest, function: Function) -> Rule:
    """Have a queue function look for itself: a wake that was lost costs a minute, not a signal."""
    return _rule(scope, stage, manifest, function, SWEEP_EVERY)


def _rule(
    scope: Construct, stage: Stage, manifest: Manifest, function: Function, every: Duration
) -> Rule:
    return Rule(
        scope,
        f"{pascal(manifest.name)}Rule",
        rule_name=f"{stage.prefix}-{manifest.name.replace('_', '-')}",
        description=manifest.description,
        schedule=Schedule.rate(every),
        targets=[LambdaFunction(function, retry_attempts=0)],
    )
