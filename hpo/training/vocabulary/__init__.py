"""What a sweep can choose from: each choice one entry of its registry."""
