"""The app's own code on a virtual clock: everything else in memory, crashes and faults where a seed says."""

import local  # noqa: F401 puts the emulator on the path
