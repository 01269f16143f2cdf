"""Data of Torch tasks: CSV files, CIFAR-10, and how rows are split."""
