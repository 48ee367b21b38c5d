"""A FIFO queue per queue manifest, with its dead letters."""

from aws_cdk import Duration
from aws_cdk.aws_lambda import Function
from aws_cdk.aws_lambda_event_sources import SqsEventSource
from aws_cdk.aws_sqs import DeadLetterQueue, Queue, QueueEncryption
from constructs import Construct

from quantlab_cdk.functions import pascal
from quantlab_cdk.stage import Stage
from quantlab_manifest import Manifest, QueueWake

# While a message is being handled it must not come again: six times the timeout, as the service
# asks of queues that feed Lambdas.
VISIBILITY_PER_TIMEOUT = 6
TRIES = 3
BATCH = 10
KEPT_DAYS = 4
DEAD_KEPT_DAYS = 14
# Twice the time in which wakes of one tenant are one message: who commits within it is heard.
GATHERING = Duration.seconds(1)
CONCURRENCY_MIN = 2  # the least an event source mapping can be told


def queue_name(prefix: str, wake: QueueWake) -> str:
    """Return the name of a queue, the same for ever."""
    return f"{prefix}-{wake.queue}.fifo"


def dead_letters_name(prefix: str, wake: QueueWake) -> str:
    """Return the name of the queue of a queue's dead letters, the same for ever."""
    return f"{prefix}-{wake.queue}-dead.fifo"


class WakeQueue(Construct):
    """What wakes one queue function."""

    def __init__(self, scope: Construct, stage: Stage, manifest: Manifest, wake: QueueWake) -> None:
        super().__init__(scope, f"{pascal(wake.queue)}Queue")
        self.name = wake.queue
        self._manifest = manifest
        self.dead = Queue(
            self,
            "Dead",
            queue_name=dead_letters_name(stage.prefix, wake),
            fifo=True,
            encryption=QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(DEAD_KEPT_DAYS),
        )
        self.queue = Queue(
            self,
            "Queue",
            queue_name=queue_name(stage.prefix, wake),
            fifo=True,
            encryption=QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(KEPT_DAYS),
            delivery_delay=GATHERING if wake.gathers else None,
            visibility_timeout=Duration.seconds(VISIBILITY_PER_TIMEOUT * manifest.timeout_s),
            dead_letter_queue=DeadLetterQueue(queue=self.dead, max_receive_count=TRIES),
        )

    def feed(self, function: Function) -> None:
        """Give batches to the function, which says which messages failed."""
        function.add_event_source(
            SqsEventSource(
                self.queue,
                batch_size=BATCH,
                max_concurrency=max(CONCURRENCY_MIN, self._manifest.concurrency),
                report_batch_item_failures=True,
            )
        )
