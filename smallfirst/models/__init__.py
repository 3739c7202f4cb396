"""models: sending: one OpenAI-compatible client, the embedded runtime, scripted and recorded doubles, prices."""
