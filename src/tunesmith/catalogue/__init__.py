"""Names for things that come from package registries: pinned, checked, with licence and source."""
