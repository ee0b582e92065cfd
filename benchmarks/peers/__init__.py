"""What other libraries do with the same work, each file run by the peers' own environment; imports no Tunewright."""
