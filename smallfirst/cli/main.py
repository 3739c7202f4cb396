"""`smallfirst`: finds the verb, shows errors as one clear line, and returns the right exit status.

Knows the list of verbs; each lives in a file of its own that is imported only when it is used, so that `smallfirst
--help` and `smallfirst serve` do not pay for what the other verbs need.
"""

from __future__ import annotations

import importlib
import sys

import click
from rich.markup import escape

from smallfirst import __version__
from smallfirst.cli.console import err
from smallfirst.errors import ConfigError, SmallfirstError

VERBS = {
    "serve": ("smallfirst.cli.serve:serve", "Start the gateway (default: 127.0.0.1:4000, no configuration needed)."),
    "ask": ("smallfirst.cli.ask:ask", "Route one question from the shell; --explain shows the decision."),
    "demo": ("smallfirst.cli.demo_cmd:demo", "A few hundred prompts through the real gateway, in half a minute."),
    "report": ("smallfirst.cli.report_cmd:report", "What was asked, served, spent and saved, from the ledger."),
    "tail": ("smallfirst.cli.tail_cmd:tail", "Watch decisions as a running gateway makes them."),
    "audit": ("smallfirst.cli.audit_cmd:audit", "Prove what was sent where; export, erase, retain."),
    "estimate": ("smallfirst.cli.estimate_cmd:estimate", "What a mix of tiers would cost, without any traffic."),
    "keys": ("smallfirst.cli.keys_cmd:keys", "Create, list, rotate and revoke client keys; see what they spent."),
    "probe": ("smallfirst.cli.probe_cmd:probe", "Find out what a model gets right, before trusting it."),
    "replay": ("smallfirst.cli.replay_cmd:replay", "Send recorded prompts through a gateway and report."),
    "evaluate": (
        "smallfirst.cli.evaluate_cmd:evaluate_verb",
        "How good, dear and quick routing is, on recorded outcomes.",
    ),
    "models": ("smallfirst.cli.models_cmd:models", "List models and presets; fetch weights."),
    "config": ("smallfirst.cli.config_cmd:config", "Check, explain and start a configuration file."),
    "router": ("smallfirst.cli.router_cmd:router", "Train and inspect the classifier."),
    "calibrate": ("smallfirst.cli.calibrate_cmd:calibrate", "Fit a policy on graded outcomes and certify its quality."),
    "outcomes": ("smallfirst.cli.outcomes_cmd:outcomes", "Check files of outcomes; make them from recorded traffic."),
    "grade": ("smallfirst.cli.grade_cmd:grade", "Score answers: by checkers, by a judge model, or by you, blind."),
    "triage": ("smallfirst.cli.triage_cmd:triage", "Label documents locally; hand up what is not sure."),
    "extract": ("smallfirst.cli.extract_cmd:extract", "Find named fields in documents; hand up what is doubtful."),
    "recorded": ("smallfirst.cli.recorded_cmd:recorded", "Serve what models answered in recorded data."),
}


class Verbs(click.Group):
    """A click group whose commands are imported when asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        module, attribute = VERBS[name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, words) for name, (_, words) in VERBS.items()])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="smallfirst")
def cli() -> None:
    """Send every query to the smallest language model that will answer it well.

    \b
    First steps:
      smallfirst serve                     start the gateway, no key and no GPU needed
      smallfirst ask "What is 2 + 2?"      route one question
      smallfirst demo                      see cost fall on a few hundred prompts
      smallfirst report                    what it saved
    """


def main() -> None:
    """The console script. Exit status: 0 fine, 1 an error that was explained, 2 wrong usage, 130 interrupted."""
    try:
        cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        err.print("interrupted", style="yellow")
        sys.exit(130)
    except ConfigError as error:
        for problem in error.problems:
            err.print(f"[red]config:[/red] {escape(problem)}", soft_wrap=True)
        sys.exit(1)
    except SmallfirstError as error:
        err.print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
