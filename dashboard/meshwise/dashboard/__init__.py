"""The web app: what the mesh looks like, what is wrong, what is proposed, and the buttons to act on it.

    app.py          create_app(settings, queries, control): Dash on FastAPI, pages registered by hand
    pages/          one module per page: ids, a layout, pure ``render_*`` functions, thin callbacks
    components/     figures, cards and tables that pages share
    queries.py      what pages may ask, in domain words; store_queries.py answers from ClickHouse
    control.py      policies, rollouts and proxies as control tells them, and the actions it takes
    testing.py      both answered from memory, for tests and examples

Numbers come from findings that analytics persisted; the dashboard computes none and imports no model. The URL is the
state: a link shows another person the same page. Whatever telemetry says is shown as text, never as markup.
"""
