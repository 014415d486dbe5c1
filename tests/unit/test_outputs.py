"""What leaves together leaves whole."""

from dataclasses import fields

from shared.outputs import Outputs, together


def test_what_several_use_cases_send_leaves_as_one() -> None:
    """Every queue has the messages of all, in order; nothing of nobody."""
    names = [field.name for field in fields(Outputs)]
    one, other = (Outputs(**{name: (f"{name} {number}",) for name in names}) for number in (1, 2))
    assert together([one, Outputs(), other]) == Outputs(**{name: (f"{name} 1", f"{name} 2") for name in names})
    assert together([]) == Outputs()
