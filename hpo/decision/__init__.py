"""From a finished search to a decision: what is confirmed, refined and shipped."""
