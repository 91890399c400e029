"""gRPC: channels, conversion of messages, translation of errors, and the one client."""
