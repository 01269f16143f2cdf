"""The study of record: where it is kept, what is written into it, and how it is read back."""
