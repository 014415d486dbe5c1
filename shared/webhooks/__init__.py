"""The public route that Business Central calls, and the subscriptions that make it call."""
