"""The only part that touches sockets: listeners, connections, pools, timers. Protocols and callbacks, no streams."""
