"""The process: settings, workers, connections, the protocol, and the threads that serve them."""
