import json
import math

from imgtool.web.app import _facts


def test_facts_of_a_record():
    record = {
        **{"input": "a.png", "output": "b.png", "width": 3, "device": "cpu", "weights": [{"name": "x"}]},
        **{"unfinished": True, "metrics": {"share": 0.5, "loss": math.nan, "losses": [1, 2]}},
    }
    told = _facts(record)
    assert told == {"width": 3, "device": "cpu", "unfinished": True, "share": 0.5, "loss": "nan"}
    json.dumps(told, allow_nan=False)
    assert _facts({"metrics": None}) == {}
