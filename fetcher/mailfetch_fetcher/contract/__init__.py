"""What the operator and the fetcher say to each other: the only part of the fetcher that the operator may import.

- `spec`: the `spec` of a MailConnection, as both sides read it
- `units`: durations, quantities and retention as written in manifests
- `identity`: which mailbox a spec means
- `assignment`: operator → fetcher (`assignments.json` in a ConfigMap; the same for the probe)
- `secrets`: the file names under which referenced Secrets are mounted; `mounts`: where (for the plugin, too)
- `report`: fetcher → operator (`GET /report`)
- `probe`: probe Job → operator (termination message)
- `purge`: purge Job → operator (its environment, termination message)
- `reasons`: condition reasons that both sides use
- `keys`: names of the Redis keys
- `texts`: what a server said, without the credentials that it may repeat (for the plugin, too)
"""
