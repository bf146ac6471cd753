"""The Redis side: keys, commit, lease, barrier, ledger, blobs, outbox. `docs/guarantees.md` says what it promises."""
