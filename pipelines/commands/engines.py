"""`gristmill engines`, and the options of `gristmill run` that say which one works."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pipelines.commands.parsing import Add, adder
from schemas.problems import Problem, close_or_all

if TYPE_CHECKING:
    from schemas.engine import EngineSettings


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Which engine works, and where it is."""
    parser.add_argument(
        "--runner",
        help="local, direct, prism, spark, flink or dataflow (default: the recipe's, or local)",
    )
    parser.add_argument(
        "--workers", type=int, help="worker processes; on Dataflow, machines (default 1)"
    )
    parser.add_argument(
        "--master", help="spark://HOST:PORT, or HOST:PORT of Flink (default: inside the job server)"
    )
    parser.add_argument(
        "--job-endpoint", metavar="HOST:PORT", help="a job server of Beam that is running"
    )
    parser.add_argument(
        "--job-server-jar", metavar="FILE", help="Beam's job server for Spark or Flink"
    )


def settings_of(options: argparse.Namespace, engine: EngineSettings) -> EngineSettings:
    """A recipe's engine with what the command line says instead. Raises Problem."""
    from schemas.engine import RUNNERS, EngineSettings
    from schemas.mistakes import validated

    names = ("runner", "workers", "master", "job_endpoint", "job_server_jar")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.runner not in (None, *RUNNERS):
        raise Problem(
            f"not known{close_or_all(options.runner, RUNNERS)}", f"runner {options.runner}"
        )
    return validated(EngineSettings, {**engine.model_dump(exclude_unset=True), **given})


def add_engines(add: Add) -> None:
    """Add `engines`."""
    engines = add(
        "engines",
        "Tell which engines can run from here, and what the others miss; install one.",
        "gristmill engines; gristmill engines install spark",
        _list,
    )
    engines.add_argument("--recipe", help="whose `engine` is looked at (default: none)")
    add_engine(engines)
    sub = adder(engines, "COMMAND", required=False)
    install = sub(
        "install",
        "Build Prism, or Beam's job server for Spark or Flink, into the user's cache.",
        "gristmill engines install spark --spark-version 3.5.9",
        _install,
    )
    install.add_argument("engine", choices=("prism", "spark", "flink"))
    install.add_argument(
        "--spark-version", metavar="VERSION", help="that of the cluster (default: the tested one)"
    )


def _list(options: argparse.Namespace) -> int:
    from pipelines.engines.installed import missing
    from pipelines.recipes.loading import load
    from schemas.engine import RUNNERS, EngineSettings

    engine = load(options.recipe).engine if options.recipe else EngineSettings()
    settings = settings_of(options, engine)
    is_asked = options.runner is not None or engine.runner != "local"
    unable = False
    for runner in [settings.runner] if is_asked else RUNNERS:
        problems = list(missing(runner, settings))
        unable |= bool(problems)
        print(f"{runner:<10}{'cannot run:' if problems else 'can run'}")
        for problem in problems:
            print(f"{'':<10}{problem}")
    return 1 if is_asked and unable else 0


def _install(options: argparse.Namespace) -> int:
    from pipelines.engines.installed import install

    if options.spark_version and options.engine != "spark":
        raise Problem("is for Spark alone", f"--spark-version {options.spark_version}")
    print(install(options.engine, options.spark_version))
    return 0
