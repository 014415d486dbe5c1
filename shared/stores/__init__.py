"""State that outlives a process: Table Storage and Key Vault adapters and their in-memory twins."""
