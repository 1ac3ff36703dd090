"""The outbox on a disk that loses power: what it wrote, what a disk may have kept of it, and what must be there after."""
