"""Demo data: facts of Microsoft's CRONUS demo company (microsoft/BCApps, MIT licence), in a compact form of our own."""
