"""What `scripts/gpu-check` runs: one module a part."""
