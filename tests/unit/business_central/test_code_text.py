"""Codes compare as Business Central compares them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.business_central.code_text import code_of


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("web-1", "WEB-1"), (" web-1\t", "WEB-1"), ("Straße", "STRAßE"), ("ı", "ı"), ("i", "I"), ("é", "É"),
        ("ŉ", "ŉ"), ("ﬁ", "ﬁ"), ("ÿ", "Ÿ"), ("приказ", "ПРИКАЗ"), ("鍵", "鍵"), ("\U00010428", "\U00010428"),
        ("ǆ", "Ǆ"), ("", ""),
    ],
)  # fmt: skip
def test_upper_case_is_that_of_the_invariant_culture(text: str, code: str) -> None:
    """One character for one; what has no single upper-case letter stays."""
    assert code_of(text) == code


@given(st.text())
def test_a_code_is_as_long_as_its_text_and_stays_what_it_is(text: str) -> None:
    """Folding twice changes nothing, so stored and sent keys meet."""
    code = code_of(text)
    assert len(code) == len(text.strip())
    assert code_of(code) == code
