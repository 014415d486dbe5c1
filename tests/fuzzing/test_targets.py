"""The parsers under input of Hypothesis: spoilt valid texts, JSON of any shape, bytes, and what costs time to read."""

import json
import time
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzzing.targets import TARGETS

EXAMPLES: Final = 150
#: CPU seconds that a hostile text of this size may cost; a parser whose time is quadratic takes minutes.
SIZE: Final = 200_000
MOST_S: Final = 10.0

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)


@st.composite
def spoilt(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A text that is valid but for some pieces."""
    text = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(text)))
        end = min(len(text), begin + draw(st.integers(0, 8)))
        other = draw(st.sampled_from(seeds))
        piece = draw(st.one_of(
            st.binary(max_size=6),
            st.sampled_from((
                b'"', b"\\", b"{", b"[", b"]", b"}", b"null", b"1e99", b"-", b"\\ud800", b"\x00", b"%00", b"//",
            )),
            st.just(other[begin : begin + 12]), st.just(json.dumps(draw(values)).encode()),
        ))  # fmt: skip
        text = text[:begin] + piece + text[end:]
    return text


@st.composite
def with_other_members(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A JSON text of the right shape in which some values are of another type."""
    try:
        document = json.loads(draw(st.sampled_from(seeds)))
    except ValueError:
        return draw(spoilt(seeds))
    return json.dumps(_changed(draw, document)).encode()


def _changed(draw: st.DrawFn, value: Any) -> Any:
    if draw(st.integers(0, 7)) == 0:
        return draw(values)
    if isinstance(value, dict):
        return {name: _changed(draw, member) for name, member in value.items()}
    return [_changed(draw, member) for member in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_returns_or_raises_its_own_errors(name: str) -> None:
    """And what it returns keeps the property of its target."""
    target = TARGETS[name]

    @settings(max_examples=EXAMPLES)
    @given(spoilt(target.seeds) | with_other_members(target.seeds) | st.binary(max_size=80))
    def holds(data: bytes) -> None:
        target.holds(data)

    for seed in target.seeds + target.found:
        target.holds(seed)
    holds()


#: Begin, piece that is repeated, end.
HOSTILE: Final = {
    "depth": (b"", b"[", b""), "objects": (b"", b'{"a":', b""), "value depth": (b'{"value":[', b"[", b""),
    "blanks": (b"{", b" ", b"}"), "digits": (b'{"value":', b"9", b"}"), "escapes": (b'{"value":"', b"\\u0041", b'"}'),
    "commas": (b'{"value":[', b"{},", b"{}]}"), "slashes": (b"https://a/", b"/", b""), "percents": (b"", b"%2e", b""),
    "xml": (b"", b"<a>", b""), "attributes": (b"<a ", b'b="c" ', b"/>"), "codes": (b"", b"<code>a", b""),
    "fields": (b"", b"a=b&", b""), "cookies": (b"", b"a=b; ", b""),
    "correlations": (b'\n{"error":{"code":"a","message":"', b" CorrelationId:", b'"}}'),
}  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("name", TARGETS)
def test_the_time_of_a_parser_is_bounded(name: str, hostile: str) -> None:
    """A long text costs seconds at most, whatever it is made of."""
    begin, piece, end = HOSTILE[hostile]
    began = time.process_time()
    TARGETS[name].holds(begin + piece * (SIZE // len(piece)) + end)
    assert time.process_time() - began < MOST_S
