"""Loads a file as a module, wherever it stands: samples are copied out, scripts are no package."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples"


def load(path: str) -> ModuleType:
    """The sample at a path below samples/, as a module of its own."""
    file = SAMPLES / path
    return _module(f"sample_{file.parent.name}_{file.stem}", file)


def script(name: str) -> ModuleType:
    """A script of scripts/, as a module of its own."""
    return _module(f"scripts_{name}", ROOT / "scripts" / f"{name}.py")


def _module(name: str, file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
