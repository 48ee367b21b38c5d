"""Any sequence of orders, quotes and delays keeps money, sizes, prices and links whole.

QUANTLAB_ORDER_SEQUENCES sets how many of each kind are tried: 200 usually, 10,000 in `make soak`.
"""

from tests.support.order_machine import SETTINGS, Orders

Orders.TestCase.settings = SETTINGS
TestOrders = Orders.TestCase
