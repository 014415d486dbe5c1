"""Scripted faults of an emulator: what the next matching requests get instead of, or on top of, an honest answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from business_central_emulator.exchange import Response


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One scripted fault, used up after `times` matching requests."""

    match: str  # regular expression searched in "METHOD /path"
    times: int = 1
    delay_s: float = 0.0  # the answer comes this late
    status: int | None = None  # answered instead of asking the engine
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    drop: bool = False  # the connection closes and nothing was done
    lose_reply: bool = False  # the request is carried out, then the connection closes before the answer

    def __post_init__(self) -> None:
        re.compile(self.match)
        if not (self.delay_s or self.status or self.drop or self.lose_reply):
            raise ValueError("a fault needs one of delay_s, status, drop, lose_reply")
        if self.times < 1 or self.delay_s < 0:
            raise ValueError("times starts at 1 and delay_s at 0")

    @classmethod
    def from_json(cls, fields: Mapping[str, object]) -> Fault:
        """Read a fault from a control request.

        Raises:
            ValueError: an unknown field, a wrong type or a combination that does nothing.
        """
        unknown = set(fields) - set(cls.__dataclass_fields__)
        if unknown:
            raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
        try:
            return cls(**fields)  # type: ignore[arg-type]  # checked by __post_init__
        except (TypeError, re.error) as error:
            raise ValueError(str(error)) from error

    @property
    def is_instead(self) -> bool:
        """Whether the engine is not asked at all."""
        return self.drop or self.status is not None

    def answer(self) -> Response:
        """Give the response that stands in for the engine's."""
        return Response(
            status=self.status or 503,
            headers=dict(self.headers),
            body=self.body.encode(),
            delay_s=self.delay_s,
            is_dropped=self.drop,
        )

    def spoil(self, honest: Response) -> Response:
        """Give the engine's own response as the wire will treat it."""
        return replace(honest, delay_s=self.delay_s, is_dropped=self.lose_reply)


class FaultScript:
    """The faults still to come, in order; the first that matches a request is used."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Append a fault."""
        self._faults.append(fault)

    def clear(self) -> None:
        """Forget all faults."""
        self._faults.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """Use up one occurrence of the first matching fault."""
        for index, fault in enumerate(self._faults):
            if re.search(fault.match, f"{method} {path}"):
                if fault.times == 1:
                    del self._faults[index]
                else:
                    self._faults[index] = replace(fault, times=fault.times - 1)
                return fault
        return None

    @property
    def pending(self) -> list[Fault]:
        """The faults not used up yet."""
        return list(self._faults)
