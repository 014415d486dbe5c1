"""The exchange every emulator shares: requests and responses as values, scripted faults, in process or on a socket.

`exchange`, `faults`, `adapter`, `serving` and `threaded` know no Business Central: any object with `handle` is served.
"""
