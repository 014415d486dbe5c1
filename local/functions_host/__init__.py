"""An embedded Azure Functions host for one Python app on one machine.

It runs the app on Microsoft's production worker library (``azure-functions-runtime``, pinned), in a process of its own,
and plays the part of the script host around it: HTTP routes, queue listeners, timers, output bindings, admin endpoints.
It stands in for ``func start`` where Core Tools cannot be installed; it is never deployed. Recordings of Microsoft's
host are its specification: the README says of which version, and what is not followed.

Start it with ``python -m local.functions_host --app-dir DIR``. Exit codes: 0 stopped, 1 failed while running,
2 wrong settings or no host.json, 4 the port is in use, 5 storage cannot be reached.

Not here: scaling, singleton leases, extension bundles, HTTP streaming, deferred bindings, retry policies on anything
but timers, key management.
"""
