"""Stand-ins for what cannot be had on a laptop: Business Central, Entra, Key Vault."""
