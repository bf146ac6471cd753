"""Pure `build_*` functions: the children of connections as manifests."""
