"""The app's own code on a virtual clock: everything else in memory, crashes and faults where a seed says."""
