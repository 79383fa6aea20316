"""PromptCAM: where in a clip a model sees a prompt."""
