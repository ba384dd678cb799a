"""The gateway: sockets, JSON-RPC, sessions (in Redis only), admission, and the relay of streams to their clients."""
