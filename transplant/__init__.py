"""What the merge server and the data sites share: nets, adapters, artifacts and the wire."""

import os

# gRPC reads this once, when it is first imported. Left on, its handlers of fork() wait, with the interpreter
# locked, for its own threads; one that asks Python for a server's certificate, as our servers do at each
# handshake, waits for the interpreter: the process hangs for ever. Nothing here forks without exec.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
