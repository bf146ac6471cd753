"""The fetcher: downloads every mail of many mailboxes exactly once into Redis Streams."""

__version__ = "0.1.0"
