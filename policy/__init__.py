"""The institution's rules, one TOML file a version (:mod:`schemas.policy` reads them). All versions stay."""
