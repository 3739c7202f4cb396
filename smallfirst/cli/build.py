"""The composition root: settings in, a whole gateway out. Every part is made here and handed to the parts that use it.

Knows all rooms. Does not know terminals or servers: `serve`, `ask`, `demo` and the tests build with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from smallfirst.accounts.accounts import Accounts
from smallfirst.classify.classifier import Classifier
from smallfirst.classify.probes import Probe
from smallfirst.classify.shipped import shipped_weights
from smallfirst.cli.certified import guard
from smallfirst.cli.check import require
from smallfirst.cli.monitoring import make_monitor
from smallfirst.cli.settings import Settings
from smallfirst.cli.tasks import make_tasks, placed_tasks, task_floors, with_locals, with_tasks
from smallfirst.config.loader import load
from smallfirst.config.paths import cache_dir, data_dir
from smallfirst.core import Entry, Replica
from smallfirst.engine.admission import Admission
from smallfirst.engine.cache import AnswerCache
from smallfirst.engine.request import Engine
from smallfirst.engine.sessions import Sessions
from smallfirst.errors import SetupError
from smallfirst.evals.probe import load_probes
from smallfirst.gateway.admin import AdminHandler
from smallfirst.gateway.app import Gateway, Handler
from smallfirst.gateway.chat import ChatHandler
from smallfirst.gateway.count_tokens import CountTokensHandler
from smallfirst.gateway.embeddings import EmbeddingsHandler
from smallfirst.gateway.feedback import FeedbackHandler
from smallfirst.gateway.messages import MessagesHandler
from smallfirst.gateway.metrics import Metrics
from smallfirst.gateway.pages import (
    Readiness,
    certificate_page,
    health_page,
    metrics_page,
    models_page,
    openapi_page,
    ready_page,
)
from smallfirst.gateway.responses import ResponsesHandler
from smallfirst.gateway.tasks import TaskHandler, TasksPage
from smallfirst.ledger.floors import LedgerFloors
from smallfirst.ledger.writer import Ledger, place_of
from smallfirst.models.catalogue import Catalogue, build_catalogue
from smallfirst.models.defaults import default_settings
from smallfirst.models.embedded import CONTEXT, EmbeddedRuntime
from smallfirst.models.http_sender import HttpSender
from smallfirst.models.sender import Sender
from smallfirst.models.settings import ModelSettings
from smallfirst.models.weights import place
from smallfirst.monitor.guard import Guarded
from smallfirst.policy.build import build_policy, goes_by_waits
from smallfirst.policy.build import default_settings as default_policy
from smallfirst.policy.settings import PolicySettings
from smallfirst.privacy.build import build_guard
from smallfirst.privacy.classes import parse_class
from smallfirst.privacy.rules import Permits, Rules
from smallfirst.store.connection import Place
from smallfirst.store.database import open_any
from smallfirst.tasks.task import Task

LOADS_WITHIN_S = 20.0
"""How long a request waits for an embedded model that is still loading; it takes a second, on a busy machine five."""


class App:
    """A built gateway: `start` it inside a running event loop, hand `gateway` to a server, `stop` it at the end."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        ledger_path: Path | None = None,
        probes: Mapping[str, Probe | None] | None = None,
        sender: Sender | None = None,
        observers: tuple[Callable[[Entry], None], ...] = (),
    ) -> None:
        """Build every part. Raises ConfigError or SetupError; fetches nothing and starts nothing."""
        self.settings, self.environ = settings, environ
        self.runtimes: list[EmbeddedRuntime] = []
        self.catalogue = self._catalogue()
        self.probes = load_probes(probes_dir(environ), self.catalogue.models.values()) if probes is None else probes
        place: Place = ledger_path or ledger_place(settings, environ)
        self.ledger_path, self.guards = place, dict[str, Guarded]()
        tiers = self.catalogue.tiers
        named = {"auto": default_policy(tiers), **settings.policies}
        policies = {name: build_policy(name, policy, tiers, self._certified) for name, policy in named.items()}
        self.tasks = make_tasks(settings, policies, settings.default_policy)
        self.catalogue = with_tasks(self.catalogue, self.tasks)
        self.ledger = Ledger.open(settings.ledger, place)
        keys = open_any(settings.keys.url, keys_file(place, environ))
        self.accounts = Accounts(settings.keys, settings.teams, keys)
        self.sender = with_locals(sender or HttpSender(), self.tasks)
        self.monitor = make_monitor(
            settings,
            self.guards,
            catalogue=self.catalogue,
            sender=self.sender,
            note=self.ledger.note,
            ledger=place,
            environ=environ,
        )
        self.classifier = Classifier.from_bytes(shipped_weights())
        usual = parse_class(settings.privacy.default_class)
        floors = LedgerFloors(place, self.ledger.names, usual, settings.ledger.floor_days)
        self.guard = build_guard(settings.privacy, floors)
        promises = tuple(self.guards.values())
        audits = self.monitor.audits if self.monitor else None
        self.metrics = Metrics(promises, audits)
        self.engine = Engine(
            catalogue=self.catalogue,
            admission=Admission(self.catalogue, self._permits()),
            classifier=self.classifier,
            probes=self.probes,
            prior=settings.router.prior if settings.router.unprobed == "trust" else None,
            policies=policies,
            default_policy=settings.default_policy,
            guard=self.guard,
            intent_from=parse_class(settings.ledger.intent_from),
            sender=self.sender,
            ledger=self.ledger,
            promises=promises,
            auditor=audits,
            config_digest=digest(settings, self.catalogue, self.tasks),
            accounts=self.accounts,
            resilience=settings.resilience,
            note_waits=any(goes_by_waits(policy) for policy in named.values()),
            refuse_unrecorded=settings.ledger.on_fault == "refuse",
            sessions=self._sessions(),
            cache=self._cache(),
            cache_up_to=parse_class(settings.cache.up_to),
            observers=(self.metrics.observe, *observers),
            handlers=self.tasks,
            floors=task_floors(settings.tasks),
        )
        self.gateway = self._routes((*policies, *(task.name for task in self.tasks)))

    async def start(self) -> None:
        """Start the embedded models; they load while the gateway already serves."""
        await self.accounts.start()
        self.guard.warm()
        if self.monitor is not None:
            self.monitor.start()
        for runtime in self.runtimes:
            await runtime.start()

    async def stop(self) -> None:
        """Stop what was started and write what the ledger still holds."""
        if self.monitor is not None:
            await self.monitor.stop()
        await asyncio.gather(*(runtime.stop() for runtime in self.runtimes))
        await self.sender.close()
        self.guard.close()
        await self.accounts.stop()
        await asyncio.to_thread(self.ledger.close)

    def readiness(self) -> Readiness:
        """Whether a request would find a model, and the ledger takes entries."""
        loading = {runtime.name for runtime in self.runtimes if not runtime.is_ready}
        parts = {name: "loading" if name in loading else "configured" for name in self.catalogue.models}
        parts["ledger"] = "failing" if self.ledger.failing else "ok"
        return Readiness(len(loading) < len(self.catalogue.models) and not self.ledger.failing, parts)

    async def _loaded(self) -> None:
        """Only embedded models are there: who asks while they are still loading waits for the first of them."""
        with contextlib.suppress(SetupError):  # it can't be loaded; the request itself will say what is wrong
            await self.runtimes[0].ready(LOADS_WITHIN_S)

    def _catalogue(self) -> Catalogue:
        settings = self.settings
        return build_catalogue(
            settings.providers,
            settings.models,
            settings.tiers,
            settings.baseline,
            environ=self.environ,
            embedded=self._embedded,
        )

    def _permits(self) -> Permits:
        models = (*self.catalogue.models.values(), *self.catalogue.own.values())
        return Rules.from_settings(self.settings.privacy).permits(models)

    def _sessions(self) -> Sessions | None:
        wanted = self.settings.sessions
        return None if wanted.ttl_s is None else Sessions(wanted)

    def _cache(self) -> AnswerCache | None:
        wanted = self.settings.cache
        if wanted.ttl_s is None:
            return None
        return AnswerCache(wanted.ttl_s, wanted.max_entries, int(wanted.max_mb * 1_000_000))

    def _embedded(self, name: str, model: ModelSettings) -> Replica:
        """A child process for a model of an embedded runtime; its address and key are known before it runs."""
        cache = cache_dir(self.environ)
        weights = place(model.weights or name, cache)
        log = cache / "logs" / f"{name}.log"
        runtime = EmbeddedRuntime(
            weights,
            name=name,
            log=log,
            environ=self.environ,
            threads=model.threads,
            context=model.abilities.context or CONTEXT,
        )
        self.runtimes.append(runtime)
        provider = model.provider or model.replicas[0].provider
        location = self.settings.providers[provider].location
        return Replica(provider, runtime.url, name, location, runtime.key)

    def _certified(self, name: str, policy: PolicySettings) -> Guarded:
        """A policy from its certificate; whether that is in force is for the guard to say."""
        made = self.guards[name] = guard(
            name, Path(policy.certificate or ""), self.catalogue, self.settings.models, policy.hedge
        )
        return made

    def _routes(self, policies: tuple[str, ...]) -> Gateway:
        keys = self.accounts.keys
        alone = len(self.runtimes) == len(self.catalogue.models)
        chat = ChatHandler(self.engine, keys, self.settings.server, self._loaded if alone else None)
        return Gateway(
            {
                ("POST", "/v1/chat/completions"): chat,
                ("POST", "/v1/messages"): MessagesHandler(self.engine, keys, self.settings.server),
                ("POST", "/v1/messages/count_tokens"): CountTokensHandler(
                    keys, self.settings.server, frozenset(self.engine.policies)
                ),
                ("POST", "/v1/responses"): ResponsesHandler(self.engine, keys, self.settings.server),
                ("POST", "/v1/embeddings"): EmbeddingsHandler(self.engine, keys, self.settings.server),
                ("GET", "/v1/models"): models_page(self.catalogue, policies, keys),
                ("GET", "/v1/certificate"): certificate_page(tuple(self.guards.values()), keys),
                ("GET", "/v1/tasks"): TasksPage(self.tasks, keys),
                **self._task_routes(),
                ("POST", "/v1/feedback"): FeedbackHandler(self.ledger.note, keys),
                ("GET", "/health"): health_page(),
                ("GET", "/ready"): ready_page(self.readiness),
                ("GET", "/metrics"): metrics_page(self.metrics.registry),
                ("GET", "/openapi.json"): openapi_page(),
            },
            startup=self.start,
            shutdown=self.stop,
            admin=self._admin(policies) if self.settings.server.admin_key else None,
        )

    def _task_routes(self) -> dict[tuple[str, str], Handler]:
        """/v1/tasks/NAME, to ask it and to see what it promises."""
        routes: dict[tuple[str, str], Handler] = {}
        for name, task in zip(self.settings.tasks, self.tasks, strict=True):
            routes["POST", f"/v1/tasks/{name}"] = TaskHandler(
                self.engine, self.accounts.keys, self.settings.server, task
            )
            routes["GET", f"/v1/tasks/{name}"] = TasksPage(self.tasks, self.accounts.keys, task)
        return routes

    def _admin(self, policies: tuple[str, ...]) -> AdminHandler:
        return AdminHandler(self.accounts, self.settings.server, self.catalogue.models, policies)


def read_settings(config: Path | None, environ: Mapping[str, str]) -> Settings:
    """The config file, checked, or what the keys in the environment make possible. Raises ConfigError."""
    loaded = None if config is None else load(config, Settings, environ)
    settings = Settings() if loaded is None else loaded.value
    if config is not None:
        policies, tasks = _placed(settings.policies, config.parent), placed_tasks(settings.tasks, config.parent)
        settings = msgspec.structs.replace(settings, policies=policies, tasks=tasks)
    if not settings.models:
        providers, models, tiers = default_settings(environ)
        settings = msgspec.structs.replace(settings, providers=providers, models=models, tiers=tiers)
    require(settings, {} if loaded is None else loaded.lines)
    return settings


def _placed(policies: Mapping[str, PolicySettings], folder: Path) -> dict[str, PolicySettings]:
    """Certificates where the config means them: relative to its own folder."""
    return {
        name: msgspec.structs.replace(policy, certificate=str(folder / policy.certificate))
        if policy.certificate
        else policy
        for name, policy in policies.items()
    }


def probes_dir(environ: Mapping[str, str]) -> Path:
    return data_dir(environ) / "probes"


def ledger_place(settings: Settings, environ: Mapping[str, str]) -> Place:
    """Where the ledger lies: at `ledger.url`, else in ledger.db in the user's data folder. Raises LedgerError."""
    return place_of(settings.ledger.url, data_dir(environ) / "ledger.db")


def keys_file(ledger: Place, environ: Mapping[str, str]) -> Path:
    """keys.db in the ledger's folder; of a ledger that is no file, in the user's data folder."""
    return ledger.with_name("keys.db") if isinstance(ledger, Path) else data_dir(environ) / "keys.db"


def digest(settings: Settings, catalogue: Catalogue, tasks: tuple[Task, ...] = ()) -> str:
    """Twelve hex digits that change when anything that decides where a query goes does. Holds no secret."""
    where = [
        (model.name, model.tier, [(r.provider, r.url, r.upstream_model, r.location) for r in model.replicas])
        for model in catalogue.models.values()
        if not any(r.location == "device" for r in model.replicas)  # an embedded model's port changes with each start
    ]
    served = [(task.name, settings.tasks, task.promise, task.about()) for task in tasks]
    said = (where, catalogue.tiers, settings.policies, settings.privacy, settings.router, settings.default_policy)
    return hashlib.sha256(msgspec.json.encode((*said, *served))).hexdigest()[:12]


def temporary_ledger() -> Path:
    """A ledger for a run that leaves no trace: the demo's, `ask`'s, a replay's."""
    return Path(tempfile.mkdtemp(prefix="smallfirst-")) / "ledger.db"
