"""Whatever a reward function does, there is a number or one line with the row, and no process is left."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunesmith.core.errors import UserError
from tunesmith.rewards.named import open_reward
from tunesmith.rewards.reward import Asked

ROW = Asked("2+2?", "it is 4", {"answer": "4"}, "rows.jsonl, row 7")


@pytest.fixture
def file(tmp_path):
    def write(text: str, name: str = "my.py") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def judged(spec, *asked, seconds=10.0):
    with open_reward(spec, seconds=seconds) as reward:
        return reward(asked or [ROW])


def test_a_number_for_each_answer(file):
    path = file("def score(prompt, answer, row):\n    return len(prompt) + len(answer) / 10 + int(row['answer'])\n")
    found = judged(f"{path}:score", ROW, Asked("", "", {"answer": "1"}, "row 8"))
    assert found.total == [4 + 0.7 + 4, 1.0]
    assert found.terms == {f"{path}:score": found.total}


def test_a_weighted_sum_keeps_its_terms(file):
    path = file("def brevity(prompt, answer, row):\n    return -len(answer)\n")
    found = judged({"number": 1.0, f"{path}:brevity": 0.5})
    assert found.terms == {"number": [1.0], f"{path}:brevity": [-7.0]}
    assert found.total == [1 - 3.5]


def test_the_report_names_the_file_with_its_hash(file):
    path = file("def score(prompt, answer, row):\n    return 1\n")
    with open_reward({f"{path}:score": 2.0, "exact": 1}) as reward:
        mine, builtin = reward.described()
    assert mine == {
        "name": f"{path}:score",
        "file": path,
        "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest(),
        "weight": 2.0,
    }
    assert builtin["file"] is None and builtin["name"] == "exact"


def test_what_it_prints_stays_away(file, capfd):
    path = file(
        "import os, sys\nprint('loading')\nos.system('echo shell')\n"
        "def score(prompt, answer, row):\n    print('scoring'); sys.stderr.write('x'); os.write(1, b'raw')\n"
        "    sys.stdin.read()\n    return True\n"
    )
    assert judged(f"{path}:score").total == [1.0]
    assert capfd.readouterr() == ("", "")


def test_numbers_of_numpy_and_torch(file):
    for value in ("numpy.float32(0.5)", "numpy.array(0.5)", "torch.tensor(0.5)"):
        path = file(f"import numpy, torch\ndef score(prompt, answer, row):\n    return {value}\n")
        assert judged(f"{path}:score").total == [0.5]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 1 / 0", r"raised ZeroDivisionError: division by zero \(.*my.py, line 2\) for the answer 'it is 4'"),
        ("raise KeyError('x')", "raised KeyError: 'x'"),
        ("raise SystemExit(3)", "raised SystemExit: 3"),
        ("return None", "returned None for the answer"),
        ("return float('nan')", "returned nan"),
        ("return float('inf')", "returned inf"),
        ("return 10 ** 400", "returned inf"),
        ("return 'good'", "returned a str of length 4"),
        ("return [1.0, 2.0]", "returned a list of length 2"),
        ("return {}", "returned a dict of length 0"),
        ("return 1j", "returned a complex"),
        ("import os; os._exit(5)", r"ended its process \(status 5\)"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"ended its process \(status -11\)"),
        ("while True: pass", "took more than 0.3 s .* was stopped; .*reward_seconds"),
        ("import time; time.sleep(60)", "took more than 0.3 s"),
        ("import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)", "took more than 0.3 s"),
    ],
)
def test_a_call_that_gives_no_number_names_the_row(file, body, message):
    path = file(f"def score(prompt, answer, row):\n    {body}\n")
    with open_reward(f"{path}:score", seconds=0.3) as reward:
        with pytest.raises(UserError, match=f"^rows.jsonl, row 7: the reward `.*my.py:score` {message}") as caught:
            reward([ROW])
        assert "\n" not in str(caught.value)


def test_an_async_function_gives_no_number(file):
    path = file("async def score(prompt, answer, row):\n    return 1.0\n")
    with pytest.raises(UserError, match="returned a coroutine"):
        judged(f"{path}:score")


def test_after_a_hang_the_next_row_is_judged_by_a_new_process(file):
    path = file("def score(prompt, answer, row):\n    while answer == 'hang': pass\n    return 1\n")
    with open_reward(f"{path}:score", seconds=0.3) as reward:
        with pytest.raises(UserError, match="took more than"):
            reward([Asked("", "hang", {}, "row 1")])
        assert reward([ROW]).total == [1.0]


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("def score(answer): return 1", "score", r"`score\(answer\)` cannot be called with three arguments"),
        ("def score(p, a, r, *, more): return 1", "score", "cannot be called with three"),
        ("def scores(p, a, r): return 1", "score", "has no function `score`; did you mean `scores`"),
        ("score = 1", "score", "`score` is a int, not a function"),
        ("def score(:", "score", "cannot be loaded: SyntaxError"),
        ("import nothing_of_this_name", "score", "line 1: cannot be loaded: ModuleNotFoundError"),
        ("raise SystemExit", "score", "cannot be loaded: SystemExit"),
        ("import os; os._exit(9)", "score", r"ended its process while it was loaded \(status 9\)"),
        ("\0", "score", "cannot be loaded"),
    ],
)
def test_a_file_that_cannot_be_used(file, text, name, message):
    with pytest.raises(UserError, match=f"^objective.reward: .*{message}"):
        open_reward(f"{file(text)}:{name}")


def test_its_folder_is_not_on_the_path_of_imports(file):
    file("VALUE = 1", "beside.py")
    with pytest.raises(UserError, match="No module named 'beside'"):
        open_reward(f"{file('import beside')}:score")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("exactly", "`exactly` is no verifier.* did you mean `exact`"),
        ("", "is no verifier"),
        ({}, "is empty"),
        ({"exact": 0.0}, "weight of `exact` is 0.0"),
        ({"exact": float("nan")}, "weight of `exact` is nan"),
        ("nowhere.py:score", "nowhere.py: no such file"),
        ("my.py", "names no function"),
        ("my.py:", "names no function|no such file"),
        ("regex", "`regex`: write the pattern"),
        ("regex:(", "not a regular expression"),
        ("exact:yes", "takes no option"),
        ("length:3", "length:10-200"),
        ("json-schema:nowhere.json", "cannot be used as a JSON schema|not installed"),
    ],
)
def test_a_name_that_cannot_be_used(spec, message):
    with pytest.raises(UserError, match=f"^objective.reward: .*({message})"):
        open_reward(spec)


def test_a_row_without_an_answer_is_refused_before_anything_runs():
    with (
        open_reward({"length:1-9": 1, "number": 1}) as reward,
        pytest.raises(UserError, match=r"row 9: .*holds no number"),
    ):
        reward.refuse([ROW, Asked("", "", {"answer": "many"}, "rows.jsonl, row 9")])


def test_a_pattern_that_takes_for_ever_is_stopped():
    asked = Asked("", "a" * 40 + "b", {}, "rows.jsonl, row 3")
    with pytest.raises(UserError, match=r"row 3: the reward `regex:.*` took more than 0.5 s"):
        judged("regex:^(a+)+$", asked, seconds=0.5)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.text(), st.text()), max_size=5))
def test_any_text_arrives_as_it_is(tmp_path, texts):
    texts = [tuple(t.encode("utf-8", "ignore").decode() for t in pair) for pair in texts]
    path = tmp_path / "hash.py"
    path.write_text("import zlib\ndef score(prompt, answer, row):\n    return zlib.crc32((prompt + answer).encode())\n")
    with open_reward(f"{path}:score") as reward:
        import zlib

        found = reward([Asked(p, a, {}, "") for p, a in texts])
    assert found.total == [zlib.crc32((p + a).encode()) for p, a in texts]


def test_an_order_of_sets_is_the_same_in_each_process(file):
    path = file("def score(prompt, answer, row):\n    return hash('some text') % 1000003\n")
    assert judged(f"{path}:score").total == judged(f"{path}:score").total


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends the process there")
def test_no_process_outlives_a_killed_run(file, tmp_path):
    path = file("import os\ndef score(prompt, answer, row):\n    while True: pass\n")
    script = (
        "import sys\nfrom tunesmith.rewards.named import open_reward\nfrom tunesmith.rewards.reward import Asked\n"
        f"reward = open_reward({path + ':score'!r}, seconds=60)\n"
        "print(reward.terms[0][0]._process.pid, flush=True)\nreward([Asked('', '', {}, '')])\n"
    )
    run = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    worker = int(run.stdout.readline())
    run.kill()
    run.wait()
    for _ in range(100):
        if not _alive(worker):
            return
        time.sleep(0.05)
    raise AssertionError("the process of the reward is still there")


def _alive(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    os.kill(number, 0)
    return state != "Z"
