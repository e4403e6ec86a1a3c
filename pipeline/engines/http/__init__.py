"""Parts of the engine for OpenAI-compatible servers: transports, endpoint rules, bodies, replies, breaker, scoring."""
