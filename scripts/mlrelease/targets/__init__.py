"""The places a service can run, behind one `Target` protocol."""
