"""config: one YAML file and the environment, validated once."""
