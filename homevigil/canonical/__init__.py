"""What `homevigil decode` says of each characteristic; one module a service, each with its `DECODERS` by four hex digits."""
