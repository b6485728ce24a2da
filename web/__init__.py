"""The web layer: Faust web views for HTTP, one raw route for the socket, the pages."""
