"""kubectl mailfetch: what people do with MailConnections from a terminal."""
