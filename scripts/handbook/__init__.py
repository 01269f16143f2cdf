"""docs/reference.md: every command, key, name and record, written from the code so that it stays true."""
