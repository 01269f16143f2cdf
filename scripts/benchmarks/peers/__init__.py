"""The same task in other tools, each program as its manual would write it. Run by the suite `throughput`."""
