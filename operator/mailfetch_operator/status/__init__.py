"""Pure `check_*` functions: what is observed becomes conditions, status and events."""
