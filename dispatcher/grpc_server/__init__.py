"""A gRPC server on one event loop: HTTP/2 without threads between the socket and the ledger.

`frames` cuts bytes into frames and builds them, `heads` reads and writes header blocks, `messages`
gRPC's framing of messages. `connection` is one HTTP/2 connection as a state machine without I/O,
with what comes in `inbox` and what goes in `outbox`. `calls` is what a servicer sees of a call,
`service` runs servicers, `served` is a connection with its socket, `listener` accepts them.

Nothing here knows jobs or protobuf: servicers, and what judges calls, come from outside.
"""

import logging

# At its debug level that package logs what it reads, tokens included.
logging.getLogger("hpack").setLevel(logging.WARNING)
