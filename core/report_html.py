"""One self-contained HTML page of an analysis: works offline, figures interactive."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

import plotly.graph_objects as go

from core.figures import dimension, layers, means, projections, topology
from core.figures.theme import Style, config, number
from core.language.request import of_texts
from core.metrics import geometry
from core.report import dump, layer_json, plain
from core.results import Analysis

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#1A1F24;background:#FCFCFA;max-width:60rem;
margin:2rem auto;padding:0 1rem}h1,h2{font-family:Georgia,serif}table{border-collapse:collapse;
width:100%;font-variant-numeric:tabular-nums;font-size:.875rem}td,th{padding:.25rem .5rem;
border-bottom:1px solid #DEE2DC;text-align:left}.scroll{overflow-x:auto}
small,.muted{color:#5B6570}pre{overflow-x:auto;font-size:.8125rem}
"""


def html(analysis: Analysis) -> str:
    """The page: what it is, headline numbers, figures, a table of layers, the settings."""
    checkpoint, data = analysis.checkpoint, analysis.data
    title = escape(checkpoint.architecture or checkpoint.name)
    about = [f"{checkpoint.parameters:,} parameters"] if checkpoint.parameters else []
    if data is not None:
        what = "texts" if of_texts(analysis) else "images"
        about.append(f"{escape(data.name)}, {data.images:,} {what} of {data.classes} classes")
    if analysis.accuracy is not None:
        about.append(f"{number(100 * analysis.accuracy, 1)} % accurate")
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        f"<title>{title} · Featurescope</title><style>{_STYLE}</style></head><body>",
        f"<h1>{title}</h1><p class='muted'>{' · '.join(about)}</p>",
        *(f"<p>Note: {escape(w)}</p>" for w in analysis.warnings),
        _collapse_table(analysis),
    ]
    script = True
    for heading, figure in _figures(analysis):
        inner = figure.to_html(
            full_html=False, include_plotlyjs=script, config=config(Style(size="large"))
        )
        parts.append(f"<h2>{heading}</h2>{inner}")
        script = False
    parts += [
        _layer_table(analysis),
        f"<h2>Settings</h2><pre>{escape(dump(plain_settings(analysis)))}</pre>",
        "</body></html>",
    ]
    return "\n".join(parts)


def plain_settings(analysis: Analysis) -> dict[str, object]:
    """What the numbers depend on: hashes, settings, device."""
    return {
        "checkpoint": {"name": analysis.checkpoint.name, "sha256": analysis.checkpoint.sha256},
        "data": None
        if analysis.data is None
        else {
            "name": analysis.data.name,
            "sha256": analysis.data.sha256,
            "preprocessing": analysis.data.preprocessing,
        },
        "settings": {
            key: getattr(analysis.settings, key) for key in type(analysis.settings).__slots__
        },
        "device": analysis.device,
    }


def _figures(analysis: Analysis) -> Iterator[tuple[str, go.Figure]]:
    style = Style(size="large")
    if analysis.penultimate is None or analysis.data is None:
        return
    names = analysis.data.class_names
    last = analysis.layer(analysis.penultimate.layer)
    cosines = geometry.cosines(analysis.penultimate.geometry)
    yield "Cosines of class means", means.cosine_matrix(cosines, names, style)
    yield "Angles between class means", means.pair_angles(cosines, names, style)
    yield "PCA of the features", projections.pca(last, analysis.sample, names, style)
    if last.dimension is not None:
        yield "Intrinsic dimension by layer", dimension.dimension_by_layer(analysis, style)
    if last.topology is not None:
        yield "Loops by layer and class", topology.betti_by_layer(analysis, style)
    if last.separation is not None:
        yield "Separation by layer", layers.separation_by_layer(analysis, style)


def _collapse_table(analysis: Analysis) -> str:
    if analysis.penultimate is None:
        return ""
    collapse = analysis.penultimate.collapse
    rows = "".join(
        f"<tr><td>{key}</td><td>{number(value, 4)}</td>"
        f"<td><small>{escape(collapse.reasons.get(key, ''))}</small></td></tr>"
        for key, value in collapse.values().items()
    )
    return f"<h2>Neural collapse</h2><table>{rows}</table>"


_COLUMNS = ("name", "kind", "dim", "nc1", "separation", "ncc_accuracy", "nonzero_fraction")


def _layer_table(analysis: Analysis) -> str:
    if not analysis.layers:
        return ""
    head = "".join(f"<th>{c.replace('_', ' ')}</th>" for c in (*_COLUMNS, "twonn", "betti"))
    rows = []
    for layer in analysis.layers:
        tree = plain(layer_json(layer, ()))
        twonn = (tree["intrinsic_dimension"] or {}).get("twonn") or {}
        betti = (tree["betti"] or {}).get("all")
        cells = [tree[c] for c in _COLUMNS] + [twonn.get("value"), betti]
        rows.append("<tr>" + "".join(f"<td>{_cell(c)}</td>" for c in cells) + "</tr>")
    table = f"<table><tr>{head}</tr>{''.join(rows)}</table>"
    return f"<h2>Layers</h2><div class='scroll'>{table}</div>"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return number(value, 3)
    return "n/a" if value is None else escape(str(value))
