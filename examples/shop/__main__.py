"""``python -m examples.shop SERVICE --port N --mesh URL`` runs one service, ``… load`` the load generator."""

from __future__ import annotations

import argparse
import sys

import uvloop
from aiohttp import web
from examples.shop import cart, catalog, checkout, frontend, inventory, load, payment, recommendation, shipping
from examples.shop.service import create_service

SERVICES = {
    "frontend": frontend.ROUTES,
    "catalog": catalog.ROUTES,
    "cart": cart.ROUTES,
    "checkout": checkout.ROUTES,
    "payment": payment.ROUTES,
    "inventory": inventory.ROUTES,
    "recommendation": recommendation.ROUTES,
    "shipping": shipping.ROUTES,
}


def build(name: str, *, mesh: str, seed: int = 0) -> web.Application:
    """Return the application of the service called ``name``."""
    app = create_service(SERVICES[name], mesh=mesh, seed=seed)
    if name == "cart":
        cart.prepare(app)
    return app


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for until SIGTERM or Ctrl-C; 1 when its port is taken."""
    parser = argparse.ArgumentParser(prog="python -m examples.shop", description="One process of the sample shop.")
    parser.add_argument("service", choices=[*SERVICES, "load"], help="which service to run, or the load generator")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    parser.add_argument("--mesh", default="http://127.0.0.1:15001", help="HTTP proxy that every call goes through")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random")
    parser.add_argument("--rate", type=float, default=25.0, help="load: requests started per second")
    parser.add_argument("--record", help="load: file that gets one JSON line per finished request")
    options = parser.parse_args(arguments)
    if options.service == "load":
        app = load.create_generator(options.mesh, rate=options.rate, seed=options.seed, record=options.record)
    else:
        app = build(options.service, mesh=options.mesh, seed=options.seed)
    try:
        # Idle connections stay open longer than any proxy keeps them, so it is never the application that closes first.
        web.run_app(
            app,
            host=options.host,
            port=options.port,
            print=None,
            access_log=None,
            keepalive_timeout=3600.0,
            shutdown_timeout=2.0,
            loop=uvloop.new_event_loop(),
        )
    except OSError as error:
        sys.stderr.write(f"shop: cannot listen on {options.host}:{options.port}: {error.strerror or error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
