"""The stack: starts emulators, Azurite and the host side by side, does the main job once, stops all of it."""
