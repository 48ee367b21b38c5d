"""The alarms that manifests name, as CloudWatch sees them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aws_cdk import CfnOutput, Duration, Stack
from aws_cdk.aws_cloudwatch import Alarm, ComparisonOperator, IMetric, Metric, TreatMissingData
from aws_cdk.aws_cloudwatch_actions import SnsAction
from aws_cdk.aws_sns import Topic
from constructs import Construct

from quantlab_cdk.code import identity
from quantlab_cdk.functions import function_name, pascal
from quantlab_cdk.queues import dead_letters_name, queue_name
from quantlab_cdk.schedules import minutes
from quantlab_cdk.stage import Stage
from quantlab_manifest import Manifest, QueueWake, ScheduleWake
from quantlab_manifest.model import Alarm as AlarmName

FIVE_MINUTES: Final = Duration.minutes(5)
MINUTE: Final = Duration.minutes(1)
DURATION_SHARE: Final = 0.8
QUEUE_AGE_S: Final = 60
LAG_MESSAGES: Final = 1_000
LAG_MINUTES: Final = 3
MISSED_RUNS: Final = 3
TOPIC: Final = "Subscribe to it to hear of alarms."
AGE: Final = "ApproximateAgeOfOldestMessage"
WAITING: Final = "ApproximateNumberOfMessagesVisible"


class NoSuchAlarmError(Exception):
    """An alarm that makes no sense for what wakes its function."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A function of a deployment, whose names are known without its stack."""

    prefix: str
    manifest: Manifest

    def measured(self, metric: str, statistic: str, period: Duration = FIVE_MINUTES) -> Metric:
        """Return a metric of the function."""
        return Metric(
            namespace="AWS/Lambda",
            metric_name=metric,
            dimensions_map={"FunctionName": function_name(self.prefix, self.manifest)},
            statistic=statistic,
            period=period,
        )

    def queued(
        self, metric: str, statistic: str, name: Callable[[str, QueueWake], str] = queue_name
    ) -> Metric:
        """Return a metric of the queue that feeds the function."""
        wake = self.manifest.wake
        if not isinstance(wake, QueueWake):
            raise NoSuchAlarmError(f"{self.manifest.name}: only a queue has waiting messages")
        return Metric(
            namespace="AWS/SQS",
            metric_name=metric,
            dimensions_map={"QueueName": name(self.prefix, wake)},
            statistic=statistic,
            period=MINUTE,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """When an alarm goes off."""

    metric: IMetric
    threshold: float
    periods: int = 1
    comparison: ComparisonOperator = ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
    missing: TreatMissingData = TreatMissingData.NOT_BREACHING


def _errors(watched: Watched) -> Watch:
    return Watch(metric=watched.measured("Errors", "Sum"), threshold=1)


def _throttles(watched: Watched) -> Watch:
    return Watch(metric=watched.measured("Throttles", "Sum"), threshold=1)


def _duration(watched: Watched) -> Watch:
    limit_ms = watched.manifest.timeout_s * 1000 * DURATION_SHARE
    return Watch(metric=watched.measured("Duration", "Maximum"), threshold=limit_ms)


def _queue_age(watched: Watched) -> Watch:
    return Watch(metric=watched.queued(AGE, "Maximum"), threshold=QUEUE_AGE_S, periods=3)


def _lag(watched: Watched) -> Watch:
    metric = watched.queued(WAITING, "Minimum")
    return Watch(metric=metric, threshold=LAG_MESSAGES, periods=LAG_MINUTES)


def _dead_letters(watched: Watched) -> Watch:
    return Watch(metric=watched.queued(WAITING, "Maximum", dead_letters_name), threshold=1)


def _missed_runs(watched: Watched) -> Watch:
    wake = watched.manifest.wake
    if not isinstance(wake, ScheduleWake):
        raise NoSuchAlarmError(f"{watched.manifest.name}: only a schedule can miss a run")
    period = Duration.minutes(minutes(wake) * MISSED_RUNS)
    return Watch(
        metric=watched.measured("Invocations", "Sum", period),
        threshold=1,
        comparison=ComparisonOperator.LESS_THAN_THRESHOLD,
        missing=TreatMissingData.BREACHING,
    )


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


class Alarms(Stack):
    """A stack of its own, as a stack may hold 500 resources; it knows functions by their names."""

    def __init__(self, scope: Construct, stage: Stage, manifests: Sequence[Manifest]) -> None:
        super().__init__(
            scope,
            "Alarms",
            stack_name=f"{stage.prefix}-alarms",
            description="QuantLabEngine: alarms, and the topic that tells of them.",
            env=stage.environment,
        )
        self._topic = Topic(self, "Topic", topic_name=f"{stage.prefix}-alarms", enforce_ssl=True)
        for manifest in manifests:
            self._watch(Watched(stage.prefix, manifest))
        CfnOutput(self, "AlarmTopic", value=self._topic.topic_arn, description=TOPIC)

    def _watch(self, watched: Watched) -> None:
        manifest = watched.manifest
        for name in alarm_names(manifest):
            if name not in WATCHES:
                raise NoSuchAlarmError(f"{identity(manifest)}: nothing on AWS shows {name}")
            seen = WATCHES[name](watched)
            alarm = Alarm(
                self,
                f"{pascal(manifest.kind)}{pascal(manifest.name)}{pascal(name)}",
                alarm_name=f"{function_name(watched.prefix, manifest)}-{name}",
                alarm_description=f"{identity(manifest)}: {name}. {manifest.description}",
                metric=seen.metric,
                threshold=seen.threshold,
                evaluation_periods=seen.periods,
                comparison_operator=seen.comparison,
                treat_missing_data=seen.missing,
            )
            alarm.add_alarm_action(SnsAction(self._topic))
