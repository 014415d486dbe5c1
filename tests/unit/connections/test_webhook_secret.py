"""The webhook secret: one read at a time, remembered whatever came of it, and no thread waits long for a slow vault."""

import threading
import time
from dataclasses import dataclass, field

import pytest

from shared.connections.webhook_secret import WebhookSecret
from shared.errors import StoreUnavailable
from tests.conftest import FixedClock


@dataclass
class Vault:
    """A vault that may be slow, empty or away."""

    value: str | None = "secret"
    is_away: bool = False
    reads: int = 0
    written: list[str] = field(default_factory=list)
    gate: threading.Event | None = None

    def read(self, name: str) -> str | None:
        del name
        self.reads += 1
        if self.gate is not None:
            self.gate.wait(10)
        if self.is_away:
            raise StoreUnavailable("Key Vault: timeout")
        return self.value

    def write(self, name: str, value: str) -> None:
        del name
        self.written.append(value)
        self.value = value


def secret_of(vault: Vault, clock: FixedClock) -> WebhookSecret:
    """The secret of one process."""
    return WebhookSecret(vault, now=clock, new_id=lambda: "a" * 32)


def test_it_is_read_once_in_ten_minutes(clock: FixedClock) -> None:
    """And again after that: whoever rotates it waits no longer."""
    vault = Vault()
    secret = secret_of(vault, clock)
    for _ in range(3):
        assert secret.read() == b"secret"
    assert vault.reads == 1
    vault.value = "rotated"
    clock.advance(600)
    assert secret.read() == b"rotated"


def test_absence_is_remembered_for_a_minute(clock: FixedClock) -> None:
    """A vault without the secret is not asked at every call."""
    vault = Vault(value=None)
    secret = secret_of(vault, clock)
    assert [secret.read() for _ in range(5)] == [None] * 5
    assert vault.reads == 1
    vault.value = "secret"
    clock.advance(60)
    assert secret.read() == b"secret"


def test_failure_is_remembered_for_a_minute(clock: FixedClock) -> None:
    """A vault that does not answer is asked once a minute."""
    vault = Vault(is_away=True)
    secret = secret_of(vault, clock)
    for _ in range(5):
        with pytest.raises(StoreUnavailable, match="timeout"):
            secret.read()
    assert vault.reads == 1
    vault.is_away = False
    clock.advance(60)
    assert secret.read() == b"secret"


def test_a_secret_in_hand_outlives_a_vault_that_does_not_answer(clock: FixedClock) -> None:
    """Notifications go on being taken; the vault is asked again once a minute."""
    vault = Vault()
    secret = secret_of(vault, clock)
    secret.read()
    vault.is_away = True
    clock.advance(600)
    assert [secret.read() for _ in range(5)] == [b"secret"] * 5
    assert vault.reads == 2


def test_a_slow_vault_holds_one_thread_and_the_others_two_seconds(clock: FixedClock) -> None:
    """The threads of the webhook route are few: handshakes must find one."""
    vault = Vault(gate=threading.Event())
    secret = secret_of(vault, clock)
    first = threading.Thread(target=secret.read)
    first.start()
    while not vault.reads:
        time.sleep(0.001)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="another call"):
        secret.read()
    assert time.monotonic() - began < 3
    assert vault.gate is not None
    vault.gate.set()
    first.join()
    assert secret.read() == b"secret"
    assert vault.reads == 1


def test_it_is_made_where_there_is_none(clock: FixedClock) -> None:
    """Also when its absence was just noted; one that another instance has made meanwhile stays."""
    vault = Vault(value=None)
    secret = secret_of(vault, clock)
    assert secret.read() is None
    assert secret.made() == ("a" * 64).encode()
    other = Vault(value=None)
    secret = secret_of(other, clock)
    assert secret.read() is None
    other.value = "of another instance"
    assert secret.made() == b"of another instance"
    assert other.written == []
