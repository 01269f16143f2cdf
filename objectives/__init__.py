"""The objectives that ship. Each is a template for your own."""
