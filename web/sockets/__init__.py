"""The socket: GET /ws."""
