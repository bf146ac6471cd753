"""The operator: reconciles MailConnections into fetchers and reports status on the resource."""
