"""`smallfirst config`, and the checks across sections behind it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from smallfirst.cli.addresses import host_and_port, is_loopback, looks_public, url_problem
from smallfirst.cli.check import check, require
from smallfirst.cli.config_cmd import config, starter
from smallfirst.cli.document import document
from smallfirst.cli.explain import explain
from smallfirst.cli.settings import Settings
from smallfirst.config.loader import parse
from smallfirst.errors import ConfigError

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
SECRET = "sk-very-secret-0123456789"
ENVIRON = {
    name: f"{SECRET}-{name}"
    for name in ("OPENAI_API_KEY", "SUPPORT_KEY", "RESEARCH_KEY", "EU_API_KEY", "WARD_KEY", "LIBRARY_KEY")
}

SOUND = """\
providers:
  gpu: {url: "http://gpu.internal:8000/v1", location: premises}
  openai: {url: "https://api.openai.com/v1", key: "${OPENAI_API_KEY}", location: cloud/us}
  builtin: {runtime: embedded, location: device}
models:
  gemma-9b: {preset: gemma-2-9b-it, provider: gpu}
  llama-8b: {preset: llama-3.1-8b, provider: gpu}
  best: {preset: gpt-4o, provider: openai}
tiers: [{slm: [gemma-9b, llama-8b]}, {frontier: [best]}]
"""


@pytest.fixture
def run(tmp_path):
    """Runs `smallfirst config ...` in a home of its own; nothing it does needs the network."""

    def go(*args, **environ):
        env = {"SMALLFIRST_HOME": str(tmp_path / "home"), **dict.fromkeys(ENVIRON), **environ}
        return CliRunner().invoke(config, [str(arg) for arg in args], env=env)

    return go


def found(text, level=None):
    settings, lines = parse(text.encode(), Settings, ENVIRON)
    return [str(one) for one in check(settings, lines) if level in (None, one.level)]


def changed(old, new):
    assert SOUND.count(old) == 1, old
    return SOUND.replace(old, new)


def test_a_sound_file_has_nothing_to_say():
    assert found(SOUND) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_fine_and_explained(run, path):
    result = run("check", path, **ENVIRON)
    assert result.exit_code == 0, result.output
    assert "tier " in result.stdout
    assert "auto: " in result.stdout
    assert SECRET not in result.output


def test_there_are_examples():
    assert {"openai-only", "vllm-plus-openai", "ollama-laptop", "hospital"} <= {path.stem for path in EXAMPLES}


def test_the_hospital_keeps_its_promises(run):
    said = run("check", ROOT / "examples" / "hospital.yaml", **ENVIRON).stdout.splitlines()
    assert "health, financial: reach gemma-9b, phi-4 only" in said
    assert "secret: reaches phi-4 only" in said


def test_starter_file_is_fine(run, tmp_path):
    printed = run("init")
    assert printed.exit_code == 0
    assert printed.stdout == starter()
    file = tmp_path / "smallfirst.yaml"
    file.write_text(printed.stdout)
    result = run("check", file, **ENVIRON)
    assert result.exit_code == 0, result.output


def test_check_names_every_mistake_and_fails(run, tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text(SOUND + "servr: {}\npolicies: {auto: {kind: cascde}}\nledger: {content: encrypted}\n")
    result = run("check", file)
    assert result.exit_code == 1
    for says in (
        "line 3: providers.openai.key: the environment variable OPENAI_API_KEY is not set",
        "line 10: unknown key `servr`; did you mean `server`?",
        "line 12: ledger.content: `encrypted` is known, but not in this version",
        "line 11: policies.auto.kind: must be one of `cascade`, `certified`, `fixed`, `panel`, `threshold`",
        "bad.yaml: 4 mistakes",
    ):
        assert says in result.stderr


def test_a_wait_is_a_word_or_milliseconds():
    def hedging(after):
        return found(SOUND + f"policies: {{auto: {{hedge: {{after: {after}}}}}}}\n")

    assert hedging("p95") == hedging("250") == hedging("0.5") == []
    for wrong in ("p50", "'250'", "true", "[]"):
        with pytest.raises(ConfigError, match=r"policies\.auto\.hedge\.after: must be `p95` or a number"):
            hedging(wrong)
    bad = found(SOUND + "resilience: {hedge: {after: 0, most: -1}}\nsessions: {horizon: 0}\n")
    assert [line.split(": ")[1] for line in bad] == [
        "resilience.hedge.after", "resilience.hedge.most", "sessions.horizon",
    ]  # fmt: skip


def test_what_stands_in_brackets_is_shown_as_it_is(run, tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text(changed("{frontier: [best]}", "{a: [best], b: [best]}"))
    assert "tiers[1]: one tier an entry: `- name: [models]`" in run("check", file, **ENVIRON).stderr


def test_check_of_no_file(run, tmp_path):
    result = run("check", tmp_path / "none.yaml")
    assert result.exit_code == 1
    assert "there is no file" in result.stderr


def test_warnings_do_not_fail(run, tmp_path):
    file = tmp_path / "open.yaml"
    file.write_text('server: {listen: "0.0.0.0:4000"}\n' + SOUND)
    result = run("check", file, **ENVIRON)
    assert result.exit_code == 0
    assert "warning: line 1: server.listen: open to other machines, and no key is required" in result.stderr


def test_a_file_without_models_uses_what_the_environment_opens(run, tmp_path):
    file = tmp_path / "short.yaml"
    file.write_text("policies: {auto: {accept: {slm: 0.9}}}\n")
    result = run("check", file)
    assert result.exit_code == 0, result.output
    assert "tier slm: smollm" in result.stdout


BEST = "preset: gpt-4o, provider: openai"
OPENAI, GPU = "providers.openai", "providers.gpu"


@pytest.mark.parametrize(("old", "new", "line", "says"), [
    ("llama-8b]", "lama-8b]", 9, "tiers[0].slm[1]: unknown model `lama-8b`; did you mean `llama-8b`?"),
    ("[best]", "[gemma-9b]", 9, "tiers[1].frontier[0]: `gemma-9b` is already in tier `slm`; a model stands in one"),
    ("{frontier: [best]}", "{slm: [best]}", 9, "tiers[1].slm: two tiers are called `slm`"),
    ("{frontier: [best]}", "{frontier: []}", 9, "tiers[1].frontier: a tier needs at least one model"),
    ("gemma-2-9b-it", "gemma-2-9b-ti", 6, "models.gemma-9b.preset: unknown preset `gemma-2-9b-ti`; did you mean `gem"),
    (BEST, "provider: opnai", 8, "models.best.provider: unknown provider `opnai`; did you mean `openai`?"),
    (BEST, "preset: gpt-4o", 8, "models.best: needs a `provider` or `replicas`; known: gpu, openai, builtin"),
    (BEST, "provider: builtin", 8, "models.best: an embedded runtime needs weights"),
    (BEST, f"{BEST}, weights: x.gguf", 8, "models.best.weights: only a provider with"),
    (BEST, f"{BEST}, replicas: [{{provider: gpu}}]", 8, "models.best: has both"),
    (BEST, "replicas: [{provider: gpu, weight: 0}]", 8, "models.best.replicas[0].weight: 0 is too small"),
    (BEST, f"{BEST}, timeout_s: 0", 8, "models.best.timeout_s: 0.0 is too small"),
    (BEST, f"{BEST}, cost: {{usd_per_hour: 1}}", 8, "models.best.cost: usd_per_hour and tokens_per_hour"),
    (BEST, f"{BEST}, cost: {{input_per_m: -1}}", 8, "models.best.cost.input_per_m: -1.0 is too small"),
    ("best: {", "auto: {", 8, "models.auto: `auto` is what callers ask for"),
    ('url: "http://gpu.internal:8000/v1", ', "", 2, f"{GPU}: needs a `url`, or `runtime: embedded`"),
    ("http://gpu.internal:8000/v1", "gpu.internal:8000", 2, f"{GPU}.url: must begin with http:// or https://"),
    ("premises", "premisses", 2, f"{GPU}.location: unknown location `premisses`; did you mean `premises`?"),
    ("cloud/us", "cloud/US", 3, f"{OPENAI}.location: unknown location `cloud/US`; a location is device"),
    (", location: cloud/us", "", 3, f"{OPENAI}: its host looks public; say where it is"),
    ("embedded", "embedded, url: 'http://x/v1'", 4, "providers.builtin.url: an embedded runtime does not read this"),
])  # fmt: skip
def test_names_numbers_and_addresses(old, new, line, says):
    said = found(changed(old, new), "error")
    assert any(one.startswith(f"line {line}: {says}") for one in said), said


@pytest.mark.parametrize(("more", "says"), [
    ("default_policy: atuo", "default_policy: unknown policy `atuo`; did you mean `auto`?"),
    ("baseline: {model: bst}", "baseline.model: unknown model `bst`; did you mean `best`?"),
    ("policies: {best: {}}", "policies.best: a model has this name too"),
    ("policies: {auto: {accept: {slmm: 0.5}}}", "policies.auto.accept.slmm: there is no tier of this name"),
    ("policies: {p: {kind: fixed}}", "policies.p.model: a policy of kind fixed needs the name of a model"),
    ("ledger: {intent_from: helth}", "ledger.intent_from: unknown data class `helth`; did you mean `health`?"),
    ("ledger: {url: 'postgresql://db/x'}", "ledger.url: must be sqlite:///PATH"),
    ("ledger: {batch_rows: 0}", "ledger.batch_rows: 0 is too small; the least is 1"),
    ("server: {listen: '4000'}", "server.listen: must be HOST:PORT"),
    ("router: {prior: 2}", "router.prior: 2.0 is not between 0 and 1"),
    ("privacy: {default_class: helth}", "privacy.default_class: unknown data class `helth`"),
    ("privacy: {rules: [{class: [pubic], do: allow}]}", "privacy.rules[0].class: unknown data class `pubic`"),
    ("privacy: {rules: [{class: [public], to: {model: bets}, do: allow}]}", "privacy.rules[0].to.model: unknown"),
    ("privacy: {rules: []}", "privacy.default_class: no model of any tier may see `internal`, the class of a query"),
    ("keys: {accept: [{name: a, key: '${WARD_KEY}', models: [auto]}]}", "keys.accept[0].models[0]: unknown model"),
    ("keys: {accept: [{name: a, key: '${WARD_KEY}'}, {name: a, key: '${EU_API_KEY}'}]}", "keys.accept[1].name: "),
    ("keys: {url: mysql://x/y}", "keys.url: must be sqlite:///PATH or postgresql://"),
    ("teams: {clinic: {policies: [careful]}}", "teams.clinic.policies[0]: unknown policy `careful`"),
    ("teams: {clinic: {usd_per_day: -1}}", "teams.clinic.usd_per_day: must be above 0"),
    ("server: {admin_listen: here}", "server.admin_listen: must be HOST:PORT"),
])  # fmt: skip
def test_what_other_sections_name(more, says):
    said = found(f"{SOUND}{more}\n", "error")
    assert any(one.startswith(f"line 10: {says}") for one in said), said


def test_tiers_or_providers_without_models():
    assert found("tiers: [{slm: [a]}]\n", "error")
    assert "line 1: providers: says nothing without a `models` section" in found("providers: {}\n", "error")


def test_a_model_in_no_tier_is_a_note():
    assert found(changed("[gemma-9b, llama-8b]", "[gemma-9b]")) == [
        "line 7: models.llama-8b: in no tier: it answers only when it is asked for by name"
    ]


def test_tiers_left_out_are_those_of_the_presets():
    text = SOUND[: SOUND.index("tiers:")]
    assert found(text) == []
    settings, _ = parse(text.encode(), Settings, ENVIRON)
    assert [line for line in explain(settings) if line.startswith("tier ")] == [
        "tier slm: gemma-9b (premises), llama-8b (premises)",
        "tier frontier: best (cloud/us)",
    ]


def test_classes_that_reach_nobody_are_a_warning():
    rules = "privacy: {rules: [{class: [public, internal], do: allow}]}\n"
    says = "no model of any tier may see personal, health, financial and secret: such queries will be refused"
    assert found(SOUND + rules) == [f"line 10: privacy.rules: {says}"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_loopback_needs_no_key(host):
    assert found(f'{SOUND}server: {{listen: "{host}:4000"}}\n') == []


def test_require_raises_errors_and_returns_the_rest():
    settings, lines = parse(changed("[gemma-9b, llama-8b]", "[gemma-9b]").encode(), Settings, ENVIRON)
    assert [one.level for one in require(settings, lines)] == ["note"]
    settings, lines = parse(changed("[best]", "[bset]").encode(), Settings, ENVIRON)
    with pytest.raises(ConfigError, match=r"line 9: .*`bset`"):
        require(settings, lines)


def test_settings_from_no_file_are_checked_without_lines():
    settings, _ = parse(changed("[best]", "[bset]").encode(), Settings, ENVIRON)
    assert any(str(one).startswith("tiers[1].frontier[0]: unknown model") for one in check(settings, {}))


def test_no_finding_repeats_a_url_or_a_key():
    text = changed("http://gpu.internal:8000/v1", f"http://me:{SECRET}@gpu.internal:8000/v1")
    (says,) = found(text)
    assert "holds a user or a password" in says
    assert SECRET not in says


def test_explain_without_a_catalogue():
    settings, _ = parse(f"{SOUND}policies: {{two: {{kind: fixed, model: best}}}}\n".encode(), Settings, ENVIRON)
    assert explain(settings) == [
        "listens on 127.0.0.1:4000, no key needed",
        "tier slm: gemma-9b (premises), llama-8b (premises)",
        "tier frontier: best (cloud/us)",
        "two: always best",
        "auto: cascade slm>=0.90 -> frontier",
        "public, internal: reach every model",
        "personal, health, financial, secret: reach gemma-9b, llama-8b only",
        "a query of which nobody says more is internal",
        "savings are measured against best",
        "ledger: ledger.db in the data folder; no prompts, no answers",
    ]


def test_the_reference_is_up_to_date(run):
    page = run("docs").stdout
    assert page == document()
    written = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    assert page == written, "run: smallfirst config docs > docs/configuration.md"


def test_the_reference_says_what_every_field_means():
    rows = [line for line in document().splitlines() if line.startswith("| `")]
    assert len(rows) > 60
    assert not [row for row in rows if row.endswith("| ? |")]


@pytest.mark.parametrize(("text", "parts"), [
    ("127.0.0.1:4000", ("127.0.0.1", 4000)),
    ("[::1]:80", ("::1", 80)),
    ("box:0", ("box", 0)),
    (":4000", None),
    ("box", None),
    ("box:x", None),
    ("box:70000", None),
    ("::1:80:x", None),
    ("box:²", None),
])  # fmt: skip
def test_addresses(text, parts):
    assert host_and_port(text) == parts


def test_what_is_loopback_and_what_is_public():
    assert is_loopback("127.0.0.9")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("box")
    private = ["localhost", "127.0.0.1:8000", "10.0.0.3", "[::1]:80", "gpu", "gpu.internal", "gpu.lan:8000"]
    assert not [host for host in private if looks_public(f"http://{host}/v1")]
    assert all(looks_public(f"https://{host}/v1") for host in ("api.openai.com", "8.8.8.8", "llm.example.com.:443"))


@pytest.mark.parametrize("url", [
    "", "x", "ftp://x/v1", "http://", "http://x:99999/v1", "http://[::1/v1", "http://x/v 1", "http://u:p@x/v1",
    "http://x/v1?key=1", "http://x/v1/chat/completions",
])  # fmt: skip
def test_urls_that_are_none(url):
    assert url_problem(url)
