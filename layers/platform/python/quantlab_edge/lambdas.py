"""The entry of every Lambda: the function that QUANTLAB_FUNCTION names, woken by its kind's events.

Settings and function are read at cold start, so that what is wrong shows before the first call.
"""

# ruff: noqa: E402 - a tenth of a cold start would go to looking for garbage in what is imported
import gc
import os

gc.disable()
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from quantlab_edge.lambdas_entry import Entry
from quantlab_edge.settings_aws import read_aws_settings

handler = Entry(read_aws_settings())

gc.freeze()
gc.enable()
