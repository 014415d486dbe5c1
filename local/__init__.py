"""The local stack: everything the app talks to, on loopback. Never deployed."""
