"""An honest emulator of the Business Central API v2.0 with webhooks, a virtual clock, fault scripts and an oracle.

What it knows follows published facts and recorded answers; what it does not know it answers with 501. In a test:

    clock = VirtualClock()
    bc = BusinessCentral(clock, seed=7)
    session = mount(requests.Session(), EngineAdapter(bc), "https://api.businesscentral.dynamics.com")

`python -m local.business_central --help` starts it as a server.
"""

from local.business_central.adapter import EngineAdapter, mount
from local.business_central.clock import ScaledClock, VirtualClock
from local.business_central.engine import BusinessCentral, Latency
from local.business_central.faults import Fault, FaultKind
from local.business_central.messages import HandshakeAnswer, Request, Response, Transport
from local.business_central.tampering import Tamper, TamperKind

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
