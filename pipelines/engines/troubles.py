"""What engines say when something is set up wrongly, as problems that a user can mend."""

from __future__ import annotations

import re

from schemas.problems import Problem

# A worker says so itself, but where it says it nobody else can see.
UNSEEN = "the run's folder is not seen by a worker"
UNSEEN_MEND = "put it on a disk that all machines have under this path, or in a store"

# Of what an engine says, the words that give a problem away: what is wrong, and how to mend it.
_KNOWN = (
    (
        r"ModuleNotFoundError: No module named '(pipelines|curation|schemas|apache_beam)",
        "its workers' Python has no gristmill",
        "install gristmill[mill] of this version where the pool, the image or the command of the "
        "workers has its Python",
    ),
    (UNSEEN, UNSEEN, UNSEEN_MEND),
    (
        r"All masters are unresponsive|Failed to connect to master|Could not connect to .*rest",
        "its master does not answer",
        "start the cluster, or mend `engine.master` in the recipe",
    ),
    (
        r"java\.io\.InvalidClassException: org\.apache\.spark|incompatible: stream classdesc",
        "the cluster has another version of Spark than the job server",
        "`gristmill engines install spark --spark-version VERSION` builds one of its version",
    ),
    (
        r"Master removed our application",
        "its cluster could not start an executor",
        "look at the executors' and workers' logs of the cluster: memory, Java, SPARK_HOME",
    ),
    (
        r"UnsupportedClassVersionError",
        "its job server needs a newer Java",
        "install OpenJDK 17, or set JAVA_HOME",
    ),
    (
        r"UNAVAILABLE: io exception[\s\S]{0,2000}?ExternalEnvironmentFactory",
        "no pool of workers answers where the engine looks for it",
        "start a pool on each machine of the cluster, and name it by `engine.pool`",
    ),
    (
        r"java\.lang\.OutOfMemoryError",
        "its Java has too little memory",
        "raise `engine.heap`, or `engine.properties` such as `spark.executor.memory`",
    ),
)


def trouble(runner: str, said: str) -> Problem | None:
    """The problem that an engine's words tell of, if it is known."""
    for pattern, what, mend in _KNOWN:
        if re.search(pattern, said):
            return Problem(what, f"runner {runner}", mend)
    return None
