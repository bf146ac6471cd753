"""What people ask of queue and log: `mailfetch-fetcher tools …` in the tools pod, called through `kubectl exec`."""
