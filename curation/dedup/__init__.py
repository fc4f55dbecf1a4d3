"""Exact and near duplicates, as numpy kernels over packed arrays.

The order of use: `words` and `minhash` sign texts, `exact` and `candidates` find edges between
documents, `components` joins edges to clusters. What they pass around is in `nodes`. `spans`,
`bloom` and `runs` find what is repeated inside of texts, `spans` cuts it. Nothing here knows how
chunks of arrays travel.
"""
