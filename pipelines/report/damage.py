"""What readers could not read, by file."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.look.display import line
from pipelines.report import reading, shape
from pipelines.report.losses import ones
from pipelines.report.reading import RowSample, Total, sums
from pipelines.runs.steps import Context

TOP = 20
PREFIX = "damaged_"  # of the reasons of `extract`


def damage(context: Context) -> shape.Damage:
    """Files with damage, those with most of it first."""
    sample = RowSample(context, "extract", "rejections", reading.MOST_SUMMED)
    total = Total(["source", "file", "reason"])
    for _, table in sample.tables(["source", "file", "reason"]):
        own = table.filter(pc.starts_with(table["reason"], PREFIX))
        names = {name: own[name].cast(pa.string()) for name in own.column_names}
        total.add(sums(pa.table({**names, "records": ones(own.num_rows)}), list(names)))
    files: dict[tuple[str, str], dict[str, int]] = {}
    for row in total.table().to_pylist():
        kinds = files.setdefault((row["source"], row["file"]), {})
        kinds[row["reason"].removeprefix(PREFIX)] = sample.scaled(row["records"])
    order = sorted(files, key=lambda key: (-sum(files[key].values()), key))
    return shape.Damage(
        coverage=sample.coverage,
        files=len(files),
        records=sum(sum(kinds.values()) for kinds in files.values()),
        top=[
            shape.DamagedFile(
                source=source, file=line(name), kinds=dict(sorted(files[source, name].items()))
            )
            for source, name in order[:TOP]
        ],
    )
