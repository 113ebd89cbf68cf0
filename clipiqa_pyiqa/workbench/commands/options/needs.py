"""Options that have a use only beside others."""

_LATEX = {"out": "", "format": "latex"}
_RAY = {"engine": "ray"}
NEEDS = {
    "actors": _RAY,
    "caption": _LATEX,
    "cpus_per_actor": _RAY,
    "fit_parameters": {"plcc_fit": ""},
    "gpus_per_actor": _RAY,
    "keep": {"out": ""},
    "latex_label": _LATEX,
    "only": {"protocol": ""},
    "pictures": {"out": ""},
    "processes": {"metrics": "", "protocol": ""},
    "value": {"protocol": ""},
}
"""Option, as in Python -> options of which one must be given, too -> the value that it must have; empty: any."""
