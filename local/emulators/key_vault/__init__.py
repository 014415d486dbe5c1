"""An emulator of Azure Key Vault's secrets: the challenge, versions, soft delete and the limits an app can run into."""
