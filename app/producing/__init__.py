"""What a service needs to write events, apart from the connection: values, keys, times."""
