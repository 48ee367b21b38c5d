"""The border: settings, composition, HTTP, sockets and identity around the use cases."""
