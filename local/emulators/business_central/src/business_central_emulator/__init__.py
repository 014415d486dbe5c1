"""An honest emulator of the Business Central API v2.0 with webhooks, a virtual clock, fault scripts and an oracle.

What it knows follows published facts and recorded answers; what it does not know it answers with 501. In a test:

    clock = VirtualClock()
    bc = BusinessCentral(clock, seed=7)
    session = mount(requests.Session(), EngineAdapter(bc), "https://api.businesscentral.dynamics.com")

`business-central-emulator --help` starts it as a server.
"""

from business_central_emulator.data.clock import ScaledClock, VirtualClock
from business_central_emulator.engine import BusinessCentral, Latency
from business_central_emulator.server.adapter import EngineAdapter, mount, session_for
from business_central_emulator.server.exchange import Engine, HandshakeAnswer, Request, Response, Transport
from business_central_emulator.server.faults import Fault, FaultKind, Faults
from business_central_emulator.webhooks.tampering import Tamper, TamperKind

__all__ = [
    "BusinessCentral",
    "Engine",
    "EngineAdapter",
    "Fault",
    "FaultKind",
    "Faults",
    "HandshakeAnswer",
    "Latency",
    "Request",
    "Response",
    "ScaledClock",
    "Tamper",
    "TamperKind",
    "Transport",
    "VirtualClock",
    "mount",
    "session_for",
]
