"""The console: one command line for the local stack and, where it makes sense, for a deployed app."""
