"""The alarms that manifests name, as CloudWatch sees them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from aws_cdk import Duration
from aws_cdk.aws_cloudwatch import Alarm, ComparisonOperator, IMetric, TreatMissingData
from aws_cdk.aws_cloudwatch_actions import SnsAction
from aws_cdk.aws_lambda import Function
from aws_cdk.aws_sns import ITopic
from constructs import Construct

from quantlab_cdk.code import identity
from quantlab_cdk.functions import pascal
from quantlab_cdk.queues import WakeQueue
from quantlab_cdk.schedules import minutes
from quantlab_cdk.stage import Stage
from quantlab_manifest import Manifest, ScheduleWake
from quantlab_manifest.model import Alarm as AlarmName

FIVE_MINUTES: Final = Duration.minutes(5)
MINUTE: Final = Duration.minutes(1)
DURATION_SHARE: Final = 0.8
QUEUE_AGE_S: Final = 60
LAG_MESSAGES: Final = 1_000
LAG_MINUTES: Final = 3
MISSED_RUNS: Final = 3


class NoSuchAlarmError(Exception):
    """An alarm that makes no sense for what wakes its function."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A function and what feeds it."""

    manifest: Manifest
    function: Function
    queue: WakeQueue | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """When an alarm goes off."""

    metric: IMetric
    threshold: float
    periods: int = 1
    comparison: ComparisonOperator = ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
    missing: TreatMissingData = TreatMissingData.NOT_BREACHING


def _errors(watched: Watched) -> Watch:
    return Watch(metric=watched.function.metric_errors(period=FIVE_MINUTES), threshold=1)


def _throttles(watched: Watched) -> Watch:
    return Watch(metric=watched.function.metric_throttles(period=FIVE_MINUTES), threshold=1)


def _duration(watched: Watched) -> Watch:
    limit_ms = watched.manifest.timeout_s * 1000 * DURATION_SHARE
    metric = watched.function.metric_duration(period=FIVE_MINUTES, statistic="Maximum")
    return Watch(metric=metric, threshold=limit_ms)


def _queue_age(watched: Watched) -> Watch:
    queue = _queue_of(watched).queue
    metric = queue.metric_approximate_age_of_oldest_message(period=MINUTE, statistic="Maximum")
    return Watch(metric=metric, threshold=QUEUE_AGE_S, periods=3)


def _lag(watched: Watched) -> Watch:
    queue = _queue_of(watched).queue
    metric = queue.metric_approximate_number_of_messages_visible(period=MINUTE, statistic="Minimum")
    return Watch(metric=metric, threshold=LAG_MESSAGES, periods=LAG_MINUTES)


def _dead_letters(watched: Watched) -> Watch:
    dead = _queue_of(watched).dead
    metric = dead.metric_approximate_number_of_messages_visible(period=MINUTE, statistic="Maximum")
    return Watch(metric=metric, threshold=1)


def _missed_runs(watched: Watched) -> Watch:
    wake = watched.manifest.wake
    if not isinstance(wake, ScheduleWake):
        raise NoSuchAlarmError(f"{watched.manifest.name}: only a schedule can miss a run")
    period = Duration.minutes(minutes(wake) * MISSED_RUNS)
    return Watch(
        metric=watched.function.metric_invocations(period=period, statistic="Sum"),
        threshold=1,
        comparison=ComparisonOperator.LESS_THAN_THRESHOLD,
        missing=TreatMissingData.BREACHING,
    )


def _queue_of(watched: Watched) -> WakeQueue:
    if watched.queue is None:
        raise NoSuchAlarmError(f"{watched.manifest.name}: only a queue has waiting messages")
    return watched.queue


WATCHES: Final[Mapping[AlarmName, Callable[[Watched], Watch]]] = {
    "errors": _errors,
    "throttles": _throttles,
    "duration": _duration,
    "queue_age": _queue_age,
    "dead_letters": _dead_letters,
    "lag": _lag,
    "missed_runs": _missed_runs,
}


def alarm_names(manifest: Manifest) -> tuple[AlarmName, ...]:
    """Return the alarms of a function; dead letters of a queue never lie unseen."""
    dead: tuple[AlarmName, ...] = ("dead_letters",) if manifest.kind == "queue" else ()
    return (*manifest.alarms, *(name for name in dead if name not in manifest.alarms))


def watch(scope: Construct, stage: Stage, topic: ITopic, watched: Watched) -> None:
    """Make the alarms of one function."""
    manifest = watched.manifest
    for name in alarm_names(manifest):
        if name not in WATCHES:
            raise NoSuchAlarmError(f"{identity(manifest)}: nothing on AWS shows {name}")
        seen = WATCHES[name](watched)
        alarm = Alarm(
            scope,
            f"{pascal(manifest.kind)}{pascal(manifest.name)}{pascal(name)}",
            alarm_name=f"{stage.prefix}-{manifest.kind}-{manifest.name}-{name}",
            alarm_description=f"{identity(manifest)}: {name}. {manifest.description}",
            metric=seen.metric,
            threshold=seen.threshold,
            evaluation_periods=seen.periods,
            comparison_operator=seen.comparison,
            treat_missing_data=seen.missing,
        )
        alarm.add_alarm_action(SnsAction(topic))
