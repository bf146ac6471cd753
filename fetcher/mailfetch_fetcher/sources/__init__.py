"""Where mail comes from: one module per protocol behind the `Source` protocol of `base`."""
