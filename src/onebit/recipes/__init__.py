"""Recipe cards, as TOML files: read them with onebit.training.load_recipe."""
