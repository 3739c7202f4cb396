"""The `tasks` section of the config, as a user writes it."""

from __future__ import annotations

from typing import Literal

import msgspec

from smallfirst.tasks.kb.settings import HandoffSettings, WordsSettings


class TaskSettings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"data_class": "class"}
):
    """A job that a small model of its own does, and larger models where it is not sure. Callers name it as `task:NAME`
    (a knowledge base as `kb:NAME`) in `model`, or post to /v1/tasks/NAME; a key with `policies` must list that name.
    Files are relative to this one."""

    kind: Literal["triage", "extract", "kb"]  # labels, fields, or questions on documents
    model: str | None = None  # triage, extract: the file that `fit` wrote
    index: str | None = None  # kb: the folder that `kb build` wrote
    spec: str | None = None  # the task's spec, a YAML file: it names the model or index where this section does not
    policy: str = "auto"  # who answers what is handed up: a policy, or a model
    threshold: Literal["certified"] | float = "certified"  # least confidence that is kept; a number promises nothing
    workers: int = 2  # threads; further requests wait for one
    data_class: str | None = None  # least data class of what is asked here; of a kb: `internal`
    quote: Literal["first", "last", "never"] = "last"  # kb: when to quote the documents, before models or after
    words: WordsSettings = WordsSettings()  # kb: fixed sentences
    handoff: HandoffSettings | None = None  # kb: a webhook for what could not be answered
