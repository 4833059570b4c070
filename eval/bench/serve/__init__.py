"""`hopfix bench serve` and `hopfix bench soak`: the service under load, real processes and real sockets."""
