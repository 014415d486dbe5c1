"""`MemorySecrets`: the in-memory twin of Key Vault, which passes the same contract tests."""

from dataclasses import dataclass, field

from shared.errors import StoreUnavailable

LIMIT_BYTES = 25_600  # what a vault takes for one secret (Microsoft writes "25k")


@dataclass
class MemorySecrets:
    """Secrets in a dictionary, newest version last. `failing` makes the named verbs ("read", "write") fail."""

    versions: dict[str, list[str]] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)
    reads: int = 0
    writes: int = 0

    def read(self, name: str) -> str | None:
        """Return the newest version."""
        self.reads += 1
        if "read" in self.failing:
            raise StoreUnavailable("the vault did not answer")
        return self.versions[name][-1] if name in self.versions else None

    def write(self, name: str, value: str) -> None:
        """Add a version."""
        self.writes += 1
        if "write" in self.failing:
            raise StoreUnavailable("the vault did not answer")
        if len(value.encode()) > LIMIT_BYTES:
            raise StoreUnavailable("the vault refused: 400 BadParameter")
        self.versions.setdefault(name, []).append(value)
