"""What the CDK command line runs."""

from quantlab_cdk.app import synthesize

synthesize()
