"""The description of the HTTP routes, OpenAPI 3.1: ``operations`` is its one table, ``schemas`` what bodies look like."""
