"""How a fetcher proves who it is: one module per kind of credential, read from mounted Secrets at each login."""
