"""Checks of arguments, and names that differ."""
