"""HTTP: each module reads a request, calls what is below, and writes a response. No logic lives here."""
