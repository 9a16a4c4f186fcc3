"""Every checker accepts right answers however they are written, and names the mistake in planted wrong ones."""

import math
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from linvid_edu.course.exercises import check, check_hint_solution, exercise_widget, hint, outcomes, solution
from linvid_edu.course.exercises.check_hint_solution import find_exercise, verdict_on
from linvid_edu.course.exercises.judge import judge_answer

PLANTED = {
    path.stem: import_module(f"exercises.{path.stem}")
    for path in sorted(Path(__file__).parent.glob("exercises/lesson_*.py"))
}
ROOM = "linvid_edu.course.exercises"
MODULES = sorted(path.stem for path in Path(import_module(ROOM).__file__).parent.glob("lesson_*.py"))
EXERCISES = {exercise.id: exercise for name in MODULES for exercise in import_module(f"{ROOM}.{name}").EXERCISES}
RIGHT = [(id, answer) for module in PLANTED.values() for id, answers in module.RIGHT.items() for answer in answers]
WRONG = [(id, *pair) for module in PLANTED.values() for id, answers in module.WRONG.items() for pair in answers.items()]


def test_every_exercise_has_right_and_wrong_answers():
    for id in EXERCISES:
        planted = PLANTED[f"lesson_{id.split('.')[0]}"]
        assert len(planted.RIGHT[id]) >= 2, id
        assert len(planted.WRONG[id]) >= 3, id
    assert {id for id, *_ in RIGHT + WRONG} == set(EXERCISES)


@pytest.mark.parametrize(("id", "answer"), RIGHT)
def test_right_answers_pass(id, answer):
    for seed in range(2):
        verdict = judge_answer(find_exercise(id), answer, seed=seed)
        assert verdict.right is True, verdict.message


@pytest.mark.slow
@pytest.mark.parametrize(("id", "words", "answer"), WRONG)
def test_wrong_answers_fail_each_with_its_own_message(id, words, answer):
    others = [other for other in PLANTED[f"lesson_{id.split('.')[0]}"].WRONG[id] if other != words]
    verdict = judge_answer(find_exercise(id), answer, seed=0)
    assert verdict.right is False
    assert words in verdict.message
    assert not any(other in verdict.message for other in others)


@pytest.mark.slow
@pytest.mark.parametrize("id", EXERCISES)
def test_the_solution_passes_and_every_mistake_gets_its_message(id):
    exercise = EXERCISES[id]
    assert judge_answer(exercise, exercise.answer, seed=0).right is True
    for mistake in exercise.mistakes:
        if exercise.trial is not None or not callable(mistake.answer):
            verdict = judge_answer(exercise, mistake.answer, seed=0)
            assert (verdict.right, verdict.message) == (False, f"not right: {mistake.message}")


@pytest.mark.parametrize("id", EXERCISES)
def test_hints_come_one_by_one_and_then_the_solution(id, capsys, monkeypatch):
    monkeypatch.setattr(check_hint_solution, "_hints_given", {})
    exercise = EXERCISES[id]
    for stage, words in enumerate(exercise.hints, start=1):
        hint(id)
        assert capsys.readouterr().out == f"hint {stage} of 3: {words}\n"
    hint(id)
    assert f'solution("{id}")' in capsys.readouterr().out.replace("'", '"')
    solution(id)
    assert exercise.why in capsys.readouterr().out


def blank(q, k, v):
    """Not yet written."""
    ...


def half_blank(q, k, v):
    scores = ...
    return scores @ v


def blank_step(model, optimizer, batch, limit=1.0):
    loss = ...  # noqa: F841


def forgotten(q, k, v):
    q @ k.mT @ v


@pytest.mark.parametrize("answer", [..., blank, half_blank, lambda q, k, v: ..., lambda q, k, v: None])
def test_a_blank_answer_is_not_yet_and_says_what_to_do(answer, capsys):
    assert check("02.1", answer).right is None
    assert check("08.2", blank_step).right is None
    assert check("02.1").right is None
    blank_02 = 'not yet: replace ... in the cell; hint("02.1") helps\n'
    assert capsys.readouterr().out == blank_02 + blank_02.replace("02.1", "08.2") + blank_02


class Hostile:
    """Every operation on it fails."""

    def __call__(self, *args):
        raise BaseExceptionGroup("", [ValueError()]) if args == () else self

    def __getattr__(self, name):
        raise RuntimeError(name)

    def __repr__(self):
        raise RuntimeError

    def __bool__(self):
        raise RuntimeError


def loop(q, k, v):
    while True:
        pass


def stop(error):
    raise error


def without_gradients(q, k, v):
    torch.set_grad_enabled(False)
    return F.scaled_dot_product_attention(q, k, v)


ANYTHING = {
    "returns None": forgotten,
    "this is None": None,
    "the text": "softmax",
    "the class Tensor": torch.Tensor,
    "the module math": math,
    "a tensor of shape (2,)": torch.ones(2),
    "takes (q)": lambda q: q,
    "takes ()": lambda: None,
    "SystemExit": lambda q, k, v: sys.exit(),
    "BaseException: no": lambda q, k, v: stop(BaseException("no")),
    "no gradient reaches q": without_gradients,
    "should have (5, 3)": lambda q, k, v: torch.zeros(1).expand(10**12),
    "ZeroDivisionError": lambda q, k, v: 1 / 0,
    "RecursionError": lambda q, k, v: ANYTHING["RecursionError"](q, k, v),
    "are NaN": lambda q, k, v: v.new_full((*q.shape[:-1], v.shape[-1]), math.nan),
    "a list of": lambda q, k, v: list(F.scaled_dot_product_attention(q, k, v)),
    "cannot be read": lambda q, k, v: F.scaled_dot_product_attention(q, k, v).to("meta"),
    "a generator": lambda q, k, v: (row for row in q),
    "complex": lambda q, k, v: F.scaled_dot_product_attention(q, k, v) + 0j,
    "two calls": lambda q, k, v: F.scaled_dot_product_attention(q, k, v) + torch.rand(1),
    "does not return": loop,
    "Hostile": Hostile(),
}


@pytest.mark.parametrize("words", ANYTHING)
def test_any_object_gets_a_verdict(words, monkeypatch):
    monkeypatch.setattr(outcomes, "TIMEOUT_SECONDS", 1)
    verdict = verdict_on("02.1", ANYTHING[words])
    assert verdict.right is False
    assert words in verdict.message
    assert torch.is_grad_enabled()
    for id in ("02.2", "08.2", "08.3", "10.2", "01.4"):
        assert verdict_on(id, ANYTHING[words]).right is False


@pytest.mark.parametrize("id", ["02.99", "99.1", "03c.1", "2", None, "x\n", "../x"])
def test_an_unknown_id_is_reported(id, capsys):
    verdict = check(id, 1)
    hint(id)
    solution(id)
    assert verdict.right is False
    assert capsys.readouterr().out.count("there is no exercise") == 3


def test_an_exercise_with_buttons():
    widget = exercise_widget("02.2")
    _, field, buttons, result = widget.children
    check_button, hint_button, solution_button = buttons.children
    for answer, words in (("", "not yet"), ("4, 2", "a little more"), ("(4, 21/10)", "right"), ("<b>", "&lt;b&gt;")):
        field.value = answer
        check_button.click()
        assert words in result.value
    hint_button.click()
    assert "of 3" in result.value
    solution_button.click()
    assert find_exercise("02.2").why[:20] in result.value


def test_buttons_try_the_function_of_that_name_as_it_is_now(monkeypatch):
    *_, buttons, result = exercise_widget("02.1", "mine").children
    main = sys.modules["__main__"]
    for answer, words in ((blank, "not yet"), (F.scaled_dot_product_attention, "right")):
        monkeypatch.setattr(main, "mine", answer, raising=False)
        buttons.children[0].click()
        assert words in result.value


def test_a_solution_that_fails_accepts_nothing():
    broken = replace(find_exercise("02.1"), answer=lambda q, k, v: stop(ValueError("broken")))
    with pytest.raises(RuntimeError, match=r"the solution of 02\.1 fails"):
        judge_answer(broken, lambda q, k, v: stop(ValueError("broken")))


def test_the_rank_of_a_mean_of_maps_is_the_answer_of_05_3():
    """Measured: maps of linear attention with rows that sum to 1, exact to rounding in float64."""
    generator = torch.Generator().manual_seed(0)
    ranks = []
    for heads in (1, 4, 12):
        phi_q, phi_k = (torch.rand(heads, 64, 8, dtype=torch.float64, generator=generator) for _ in range(2))
        maps = phi_q @ phi_k.mT
        mean = (maps / maps.sum(dim=-1, keepdim=True)).mean(dim=0)
        ranks.append(int(torch.linalg.matrix_rank(mean, rtol=1e-10)))
    assert tuple(ranks) == EXERCISES["05.3"].answer
