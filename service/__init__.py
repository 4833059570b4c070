"""HTTP and the command: schemas, settings, metrics. Knows nothing of torch."""
