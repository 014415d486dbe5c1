"""The local stack: what a user runs on a laptop instead of Azure and Business Central; README.md tells its parts.

The Business Central emulator is a distribution of its own; its source is put on the path here, so that it needs no
installation.
"""

import sys
from pathlib import Path

EMULATOR_SOURCE = Path(__file__).parent / "emulators" / "business_central" / "src"
sys.path.insert(0, str(EMULATOR_SOURCE))
