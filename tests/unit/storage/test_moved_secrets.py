"""Secrets that move to a vault of their own: nobody has to sign in again for it (P20)."""

from shared.storage.moved_secrets import MovedSecrets
from tests.support.fakes_secrets import MemorySecrets


def test_what_the_old_vault_holds_serves_until_the_first_write() -> None:
    """The old vault stays as it is, for the release before; from the first write on the new one counts."""
    before, own = MemorySecrets(versions={"a": ["old"]}), MemorySecrets(versions={})
    moved = MovedSecrets(own, before=before)
    assert (moved.read("a"), moved.read("b")) == ("old", None)
    moved.write("a", "new")
    assert (moved.read("a"), own.read("a"), before.read("a")) == ("new", "new", "old")
