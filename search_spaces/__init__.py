"""The sweep files that ship, as package data."""
