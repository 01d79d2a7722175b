"""The demo: the platform, the sample shop behind proxies, load, a fault, and the loop closing by itself.

- ``topology``   every process and its ports: pure data
- ``parts``      the topology as child processes, and the configuration file they read
- ``documents``  the policies the shop starts with, and the bad one
- ``scenario``   the script: each step waits for something observed, never for a fixed time
- ``receiver``   the webhook receiver that alerts are delivered to
- ``evidence``   what every part says happened, fetched once at the end
- ``report``     evidence → the report; ``checks`` report → what must hold
- ``narrator``   plain sentences on the terminal

Nothing in the report is written down beforehand: every number comes from the store, from control, from the services'
own counters or from the load generator's own record.
"""

from meshwise.cli.demo.run import DemoOptions, run_demo

__all__ = ["DemoOptions", "run_demo"]
