"""Control: what runs in the mesh, which policies steer it, and who changed what, when and why.

Proxies register, send heartbeats, fetch snapshots, listen for new ones and answer each with applied or rejected.
Operators and the analytics room change policies at once, or try them on a share of the proxies first.

- ``rollouts``, ``snapshots``, ``admission``, ``registry``: pure decisions, given the state and the time
- ``storage`` over ``tables``: the state in SQL; a write is one short transaction that holds the writers' lock
- ``registrations``, ``policies``, ``trials``: what each request does inside such a transaction
- ``events``: wakes every proxy that listens when the mesh-wide revision grew
- ``jobs``: lets silent proxies and overdue rollouts expire
- ``api``: the HTTP face; ``app.create_app(settings)`` puts it together, ``main.run(settings)`` serves it

SQLAlchemy runs synchronously on the server's worker threads: transactions take about a millisecond, writers come one
after another anyway, and code without ``await`` between two statements is easier to trust. State survives a restart.
"""
