"""An honest emulator of the Business Central API v2.0 with webhooks, a virtual clock, fault scripts and an oracle.

What it knows follows published facts and recorded answers; what it does not know it answers with 501. In a test:

    clock = VirtualClock()
    bc = BusinessCentral(clock, seed=7)
    session = mount(requests.Session(), EngineAdapter(bc), "https://api.businesscentral.dynamics.com")

`python -m business_central_emulator --help` starts it as a server.
"""

from business_central_emulator.adapter import EngineAdapter, mount
from business_central_emulator.clock import ScaledClock, VirtualClock
from business_central_emulator.engine import BusinessCentral, Latency
from business_central_emulator.faults import Fault, FaultKind
from business_central_emulator.messages import HandshakeAnswer, Request, Response, Transport
from business_central_emulator.tampering import Tamper, TamperKind

__all__ = [
    "BusinessCentral",
    "EngineAdapter",
    "Fault",
    "FaultKind",
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
]
