"""An emulator of Microsoft Entra's sign-in and of the App Service managed identity endpoint.

It serves several tenants, each with users and registrations of its own, and keeps the promises the app relies on:
codes are single use and bound to PKCE and redirect URI, tokens are signed and end, secrets and consents are checked,
and what is refused is refused with Entra's own AADSTS codes. It has no passwords: whoever opens the page picks a user.
"""
