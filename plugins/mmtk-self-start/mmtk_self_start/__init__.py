"""Self-supervised starts: strategies that teach the encoder without labels, and a class head beside it."""
