"""gateway: ASGI: wire formats, SSE, authentication. Knows no routing rule."""
