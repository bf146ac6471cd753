"""`kubectl mailfetch authorize`: a person signs in, the mailbox is tried, the refresh token goes into its Secret.

- `plan`: what a connection asks for (pure)
- `place`: a cluster, or files without one (pure)
- `documents`: a connection that is not saved yet
- `loopback`: where the browser brings the answer
- `microsoft`, `google`: the two ways to a token
- `words`: what the providers' errors mean (pure)
- `mailbox`: whether the account may open the mailbox
- `secret`: the token Secret (pure); `folder`: Secrets as files
- `command`: all of it in order
"""
