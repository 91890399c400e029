"""Artifacts: manifests, safetensors payloads, digests, and every check on received bytes."""
