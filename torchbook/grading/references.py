"""What answers are held against: from the key, run with the secret seed, or from a released exercise."""

from __future__ import annotations

from torchbook.grading.assembly import check_source
from torchbook.grading.grader import References
from torchbook.grading.judges import Judges
from torchbook.grading.key import BadKey, Key
from torchbook.grading.protocol import Cell, CellResult, CellState, Limits, Runner
from torchbook.grading.template import Template
from torchbook.grading.values import MalformedAnswer, decode

PUBLIC_SEED = 0


def references_of_key(key: Key, runner: Runner, seed: int, limits: Limits | None = None) -> References:
    """Run the key with `seed`. Raises BadKey when one of its cells fails: then nobody can be graded."""
    names = [cell.identity.name for cell in key.cells if cell.identity]
    cells = [Cell(name, _source(key, name)) for name in names]
    results = {result.name: result for result in runner.run(cells, seed=seed, limits=limits)}
    for result in results.values():
        if result.state is not CellState.OK:
            raise BadKey(
                f"the key of {key.assignment} fails with seed {seed} in '# {result.name}': "
                f"{result.state.value} {result.error_name} {result.error_value}".rstrip()
            )
    expected = {}
    for question in key.questions:
        if question.rule.kind != "judge":
            grader = results.get(f"{question.name} grader")
            expected[question.name] = _value(key, grader or results[f"{question.name} check"])
    return References(seed, expected, _judges_of_key(key))


def _source(key: Key, name: str) -> str:
    source = key.source(name) or ""
    return check_source(source) if name.endswith("check") else source


def _value(key: Key, result: CellResult) -> object:
    if len(result.answers) != 1:
        raise BadKey(f"'# {result.name}' of the key of {key.assignment} sent {len(result.answers)} answers, not one")
    try:
        return decode(result.answers[0])
    except MalformedAnswer as error:
        raise BadKey(f"'# {result.name}' of the key of {key.assignment}: {error}") from None


def _judges_of_key(key: Key) -> Judges | None:
    names = [question.name for question in key.questions if question.rule.kind == "judge"]
    setup = tuple(cell.source for cell in key.cells if cell.identity and cell.identity.kind == "setup")
    sources = {name: key.source(f"{name} grader") or "" for name in names}
    return Judges(setup, sources) if names else None


def public_references(template: Template) -> References:
    """What the exercise itself carries: the expected values of the public seed. Damaged ones are left out."""
    expected = {}
    for name, message in template.expected.items():
        try:
            expected[name] = decode(message)
        except MalformedAnswer:
            continue
    setup = tuple(source for identity, source in template.cells if identity.kind == "setup")
    judges = Judges(setup, template.graders) if template.graders else None
    return References(PUBLIC_SEED, expected, judges, public=True)
