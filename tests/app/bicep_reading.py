"""A small reader of Bicep text for the tests: finds declarations, bodies and literals; it compiles nothing."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
SOURCES = tuple(sorted(INFRA.rglob("*.bicep")))


@dataclass(frozen=True, slots=True)
class Declaration:
    """A resource or module: the file it is in, its name, its type or path, and its body."""

    file: str  # stem
    symbol: str
    kind: str
    existing: bool
    body: str

    @property
    def key(self) -> str:
        """Name in docs/resources.md."""
        return f"{self.file}.{self.symbol}"


def text(path: Path) -> str:
    """Return the file without comments (a `//` after a colon is an address)."""
    return re.sub(r"(?m)(?<![:'])//.*$", "", path.read_text(encoding="utf-8"))


def block(source: str, start: int) -> str:
    """Return the bracketed text that opens at or after `start`, brackets included; strings may hold brackets."""
    pairs = {"{": "}", "[": "]", "(": ")"}
    stack: list[str] = []
    begin = -1
    position = start
    while position < len(source):
        char = source[position]
        if char == "'":
            position = _string_end(source, position)
        elif char in pairs:
            begin = position if begin < 0 else begin
            stack.append(pairs[char])
        elif stack and char == stack[-1]:
            stack.pop()
            if not stack:
                return source[begin : position + 1]
        position += 1
    raise AssertionError(f"unbalanced brackets after {source[start : start + 60]!r}")


def _string_end(source: str, start: int) -> int:
    """Return the position of the quote that closes the string at `start`."""
    if source.startswith("'''", start):
        return source.index("'''", start + 3) + 2
    position = start + 1
    while source[position] != "'":
        position += 2 if source[position] == "\\" else 1
    return position


def declarations() -> list[Declaration]:
    """Return every resource and module of the template."""
    found = []
    for path in SOURCES:
        source = text(path)
        for match in re.finditer(r"(?m)^\s*(?:resource|module) (\w+) '([^']+)'( existing)? =", source):
            start = match.end()
            condition = re.match(r" if (?=\()", source[start:])
            if condition:
                start += len(condition[0] + block(source, start))
            body = block(source, start)
            found.append(Declaration(path.stem, match[1], match[2], bool(match[3]), body))
    return found


def parameters(path: Path) -> dict[str, tuple[str, str]]:
    """Return parameter -> (its decorators, what follows its name up to the end of the line)."""
    found = {}
    pattern = re.compile(r"(?m)((?:^@.*\n)*)^param (\w+) (.*)$")
    for match in pattern.finditer(text(path)):
        found[match[2]] = (match[1], match[3].strip())
    return found


def strings(source: str) -> list[str]:
    """Return the plain string literals in a piece of text, in order."""
    return re.findall(r"'([^'$]*)'", source)


def variable(path: Path, name: str) -> str:
    """Return the text of a variable: a bracketed block, or the rest of its line."""
    source = text(path)
    match = re.search(rf"(?m)^var {name} = *(.*)$", source)
    assert match, f"no variable {name} in {path.name}"
    if match[1].startswith(("{", "[")):
        return block(source, match.start(1))
    return match[1]


def keys(object_text: str) -> list[str]:
    """Return the property names of the outermost object in a piece of text."""
    depth, found = 0, []
    for line in object_text.splitlines():
        match = re.match(r"\s*'?([\w.-]+)'?:", line)
        if match and depth == 1:
            found.append(match[1])
        bare = re.sub(r"'[^']*'", "", line)
        depth += sum(bare.count(char) for char in "{[(") - sum(bare.count(char) for char in "}])")
    return found


TYPES = INFRA / "modules" / "types.bicep"
APP = INFRA / "modules" / "app.bicep"
MAIN = INFRA / "main.bicep"
REGISTRATION = INFRA / "registration.bicep"
PARAMETERS = INFRA / "main.bicepparam"
ALL_TEXT = {path: text(path) for path in SOURCES}

#: Flex Consumption refuses or ignores these.
NOT_FOR_FLEX = (
    "FUNCTIONS_WORKER_RUNTIME",
    "FUNCTIONS_EXTENSION_VERSION",
    "WEBSITE_RUN_FROM_PACKAGE",
    "WEBSITE_CONTENTSHARE",
    "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING",
    "SCM_DO_BUILD_DURING_DEPLOYMENT",
    "ENABLE_ORYX_BUILD",
    "linuxFxVersion",
    "alwaysOn",
)


def declared(key: str) -> Declaration:
    """Return the one declaration with this `<file>.<symbol>` name."""
    (found,) = [entry for entry in declarations() if entry.key == key]
    return found
