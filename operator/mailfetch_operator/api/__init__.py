"""The only modules that talk to Kubernetes.

- `kinds`: the kinds that the operator reads and writes
- `client`: one request, with time-outs, retries and typed errors
- `watching`: Kopf's login and settings, and what its watch streams do
"""
