"""`engine`: where the jobs of a run are done. Another one goes on with the same run."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from schemas.base import Contract

RunnerName = Literal["local", "direct", "prism", "spark", "flink", "dataflow"]
RUNNERS: tuple[RunnerName, ...] = get_args(RunnerName)
Address = Annotated[str, Field(pattern=r"^[^\s/:]+:\d{1,5}$")]
# What each kind of environment needs to be told.
_NEEDS = {"DOCKER": "image", "PROCESS": "command"}


class EngineSettings(Contract):
    """Where the jobs of a run are done; options of `gristmill run` go before it. It decides no
    output byte."""

    runner: RunnerName = Field(
        "local",
        description="`local`: processes of this machine. `direct`: Beam's own runner. `prism`, "
        "`spark`, `flink`: Beam's portable engines. `dataflow`: Google's service.",
    )
    workers: int = Field(
        1,
        ge=1,
        description="Worker processes on this machine; on Dataflow, machines. A cluster has its "
        "own number.",
    )
    master: str | None = Field(
        None,
        description="Spark's (`spark://HOST:7077`, `local[2]`) or Flink's (`HOST:8081`, "
        "`[local]`). Default: one inside the job server, with as many threads as `workers`.",
    )
    job_endpoint: Address | None = Field(
        None,
        description="`HOST:PORT` of a Beam job server that is running. Default: one is started.",
    )
    job_server_jar: str | None = Field(
        None, description="Beam's job server. Default: that of `gristmill engines install`."
    )
    heap: str = Field(
        "1g", pattern=r"^\d+[kmgKMG]$", description="Largest heap of the job server's Java."
    )
    properties: dict[str, str] = Field(
        default_factory=dict,
        description="Java properties of the job server, such as `spark.executor.memory: 4g`.",
    )
    environment: Literal["EXTERNAL", "LOOPBACK", "DOCKER", "PROCESS"] = Field(
        "EXTERNAL",
        description="What starts Python workers. `EXTERNAL`: a pool, see `pool`. `LOOPBACK`: "
        "threads of the process that starts the run, for a look only. `DOCKER`: containers of "
        "`image`. `PROCESS`: `command`, on each machine.",
    )
    pool: Address | None = Field(
        None,
        description="`HOST:PORT` of worker pools as the cluster's machines see it, "
        "`localhost:50000` for one on each. Default: a pool on this machine is started.",
    )
    image: str | None = Field(None, description="Container image of workers, with gristmill in it.")
    command: str | None = Field(None, description="Beam's `boot` program on the machines.")
    processes: int = Field(
        0,
        ge=0,
        description="Python workers of each executor or task manager of a cluster. 0: one for each "
        "of its processors.",
    )
    project: str | None = Field(None, description="Google Cloud project.")
    region: str | None = Field(None, description="Region of Dataflow.")
    temp: str | None = Field(
        None, pattern=r"^gs://.", description="Bucket and folder of Dataflow's own files."
    )
    staging: str | None = Field(
        None, pattern=r"^gs://.", description="Of what Dataflow's workers load; default: in `temp`."
    )
    options: tuple[str, ...] = Field(
        (), description="More of Beam's own options, as on its command line; they go before ours."
    )

    @model_validator(mode="after")
    def _environment_is_told(self) -> Self:
        key = _NEEDS.get(self.environment)
        if key is not None and getattr(self, key) is None:
            raise ValueError(f"`environment: {self.environment}` needs `{key}`")
        return self
