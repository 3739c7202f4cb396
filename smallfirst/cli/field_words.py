"""What fields mean whose settings class has no comment beside them: `Class.field` -> words for the reference.

Knows words only. A comment beside the field in its settings class comes first; a test asks for one or the other.
"""

from __future__ import annotations

WORDS = {
    "ServerSettings.listen": "HOST:PORT; list `keys` before other machines can reach it",
    "ServerSettings.max_body_mb": "a longer request body gets 413",
    "ServerSettings.max_messages": "a longer list of messages gets 400",
    "LedgerSettings.intent_from": "a data class; from it on, what will be sent where is on disk before it is sent",
    "ProviderSettings.url": "the base of its OpenAI-compatible endpoint, usually ending in /v1",
    "ProviderSettings.key": "what it asks for as `Authorization: Bearer`",
    "ProviderSettings.runtime": "`embedded` runs weights in a child process of the gateway",
    "Terms.retention_days": "how long it keeps what it is sent",
    "Terms.trains": "whether it trains on what it is sent",
    "Terms.baa": "whether a business associate agreement is signed",
    "ModelSettings.preset": "abilities, upstream name and list price of a known model; `smallfirst models list`",
    "ModelSettings.provider": "where it lives, where it lives in one place; otherwise `replicas`",
    "ModelSettings.cost": "what its tokens cost; without it the preset's list price, or unknown",
    "ModelSettings.timeout_s": "for a whole answer; of a stream: for its first byte, then for each gap",
    "ReplicaSettings.provider": "the name of a provider",
    "ReplicaSettings.weight": "its share of the calls, beside the other replicas'",
    "ReplicaSettings.max_parallel": "calls at once, further ones wait; 0: no limit",
    "CostSettings.input_per_m": "US dollars per million input tokens",
    "CostSettings.output_per_m": "US dollars per million output tokens",
    "CostSettings.cached_per_m": "US dollars per million input tokens that were cached",
    "CostSettings.usd_per_hour": "what the machine costs; needs `tokens_per_hour`",
    "CostSettings.tokens_per_hour": "what the machine makes in an hour",
    "AbilitySettings.context": "tokens, prompt and answer together",
    "AbilitySettings.tools": "takes `tools`",
    "AbilitySettings.json_object": "takes response_format json_object",
    "AbilitySettings.json_schema": "takes response_format json_schema",
    "AbilitySettings.vision": "takes images",
    "AbilitySettings.logprobs": "gives token log-probabilities",
    "AbilitySettings.n": "gives several choices in one call",
    "BaselineSettings.model": "a model of this file",
    "BaselineSettings.reference": "a preset",
    "RouterSettings.unprobed": "what to do with a model that `smallfirst probe` has not measured",
    "RouterSettings.prior": "the p_correct that an unprobed model is trusted at, 0 to 1",
    "PolicySettings.kind": "how models are chosen; see above",
    "PolicySettings.model": "fixed: the name of a model",
    "PolicySettings.panel": "panel: who is asked",
    "PolicySettings.stream": "an answer that may still be rejected is held until it is accepted",
    "PanelSettings.models": "two models or more, asked side by side",
}
