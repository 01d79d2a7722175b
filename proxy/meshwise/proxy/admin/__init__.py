"""The administration listener: health, metrics, state, a live tap, log level, drain.

``pages``   path and query in, reply out: what there is to see and to do
``view``    what they show of one process
``tap``     requests as they finish, filtered, within bounds
``server``  the listener

It asks for no credentials: bind it to loopback unless a probe must reach it.
"""

from meshwise.proxy.admin.pages import AdminPages, AdminView, Reply
from meshwise.proxy.admin.server import MAX_CONNECTIONS, AdminServer
from meshwise.proxy.admin.tap import Tap, Taps
from meshwise.proxy.admin.view import ProcessView

__all__ = ["MAX_CONNECTIONS", "AdminPages", "AdminServer", "AdminView", "ProcessView", "Reply", "Tap", "Taps"]
