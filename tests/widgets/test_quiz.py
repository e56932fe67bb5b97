"""The quiz: texts become safe HTML, answers stay hidden until earned, and the browser keeps them."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from torchbook.widgets import Question, Quiz
from torchbook.widgets.quiz import mathml, rich_text

ONE = Question("Which *rate* is `lr`?", ["$\\eta_0$", "a < b", "zero"], 1, ["why zero", "why one", "why two"])
MANY = Question("Which need the end?", ["cosine", "sqrt", "one-cycle"], [2, 0], ["w0", "w1", "w2"])


def quiz(*questions: Question) -> Quiz:
    return Quiz("part/chapter", list(questions) or [ONE, MANY])


def text_of(markup: str) -> str:
    return "".join(ElementTree.fromstring(f"<p>{markup}</p>").itertext())


def test_texts_become_escaped_html() -> None:
    assert rich_text("`a < *b*` *so* <b> & \\$5") == "<code>a &lt; *b*</code> <em>so</em> &lt;b&gt; &amp; $5"
    assert rich_text("2 * 3 * 4 and x**2 * y**2") == "2 * 3 * 4 and x**2 * y**2"
    assert rich_text("*in `code` too*") == "<em>in <code>code</code> too</em>"


@pytest.mark.parametrize("hostile", ["<script>x</script>", "`<img src=x onerror=y>`", "$\\text{<script>}$"])
def test_no_text_can_become_an_element(hostile: str) -> None:
    tags = {node.tag.rsplit("}")[-1] for node in ElementTree.fromstring(f"<p>{rich_text(hostile)}</p>").iter()}
    assert tags <= {"p", "code", "math", "mrow", "mtext"}
    assert "<" in text_of(rich_text(hostile))


def test_math_is_mathml_with_the_right_structure() -> None:
    math = ElementTree.fromstring(mathml(r"\frac{\eta_0}{2} < \alpha"))
    names = [node.tag.rsplit("}")[-1] for node in math.iter()]
    assert names.count("mfrac") == names.count("msub") == 1
    assert "".join(math.itertext()) == "η02<α"


@pytest.mark.parametrize("tex", [r"\frac{a", r"\frac{a}", r"\nosuch", "a}", "{", "x^", "x_1_2", r"\left( a", "a & b"])
def test_invalid_tex_is_an_error_that_quotes_it(tex: str) -> None:
    with pytest.raises(ValueError, match="invalid TeX") as caught:
        mathml(tex)
    assert tex in str(caught.value)


@pytest.mark.parametrize("text", ["costs $5", "a ` b", "$a$ and $"])
def test_an_unpaired_sign_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="unpaired"):
        rich_text(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": ["a"], "why": ["w"], "correct": 0}, "at least two options"),
        ({"why": ["w", "w"]}, "3 options but 2 explanations"),
        ({"options": ["a", "b", "a"]}, "same option twice"),
        ({"correct": 3}, "indices 0 to 2"),
        ({"correct": -1}, "indices 0 to 2"),
        ({"correct": []}, "no right answer"),
        ({"correct": [1, 1]}, "names an option twice"),
        ({"text": " "}, "needs a text"),
        ({"why": ["w", "", "w"]}, "none may be empty"),
    ],
)
def test_bad_questions_say_what_is_wrong(change: dict[str, object], message: str) -> None:
    given = {"text": "t", "options": ["a", "b", "c"], "correct": 1, "why": ["x", "y", "z"]} | change
    with pytest.raises(ValueError, match=message):
        quiz(Question(**given))


def test_types_are_checked() -> None:
    with pytest.raises(TypeError, match="give a list"):
        quiz(Question("t", "ab", 0, ["x", "y"]))
    for correct in (True, ["a"]):
        with pytest.raises(TypeError, match="indices"):
            quiz(Question("t", ["a", "b"], correct, ["x", "y"]))


def test_bad_quizzes_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="at least one question"):
        Quiz("part/chapter", [])
    with pytest.raises(ValueError, match="same question twice"):
        quiz(ONE, ONE)
    with pytest.raises(ValueError, match="chapter's path"):
        Quiz("Part Chapter", [ONE])


def test_state_keeps_the_order_and_the_edition_follows_the_questions() -> None:
    first, again = quiz(), quiz()
    assert first.questions[1]["options"] == ["cosine", "sqrt", "one-cycle"]
    assert first.questions[1]["correct"] == [0, 2]
    assert [question["several"] for question in first.questions] == [False, True]
    assert first.edition == again.edition != quiz(ONE).edition


@pytest.mark.slow
def test_verdicts_over_all_answers(js) -> None:
    cases = [{"correct": c, "picked": p} for c in subsets(3) if c for p in subsets(3)]
    found = js(Quiz._esm, "arg.map(({ correct, picked }) => verdict(correct, picked))", cases)
    for case, verdict in zip(cases, found, strict=True):
        correct, picked = set(case["correct"]), set(case["picked"])
        assert verdict["right"] == (correct == picked)
        assert set(verdict["wrong"]) == picked - correct
        assert verdict["missing"] == len(correct - picked)


def subsets(count: int) -> list[list[int]]:
    return [[i for i in range(count) if mask >> i & 1] for mask in range(2**count)]


@pytest.mark.slow
def test_stored_answers_that_do_not_fit_are_forgotten(js) -> None:
    questions = [{"options": ["a", "b"], "several": False}, {"options": ["a", "b", "c"], "several": True}]
    good = '[{"picked":[1],"checked":[1],"shown":false},{"picked":[0,2],"checked":null,"shown":true}]'
    bad = ["", "null", "{}", "[]", "[1,2]", good.replace("[1]", "[2]"), good.replace("[1]", "[0,1]"), "<"]
    results = js(Quiz._esm, "arg[1].map((text) => restore(text, arg[0]))", [questions, [good, *bad]])
    assert results[0][0]["checked"] == [1]
    assert results[0][1] == {"picked": [0, 2], "checked": None, "shown": True}
    assert all(result[0] == {"picked": [], "checked": None, "shown": False} for result in results[1:])


@pytest.mark.slow
def test_answering_by_pointer(open_widgets) -> None:
    watched = open_widgets(quiz(), touch=True)
    page = watched.page
    first, second = page.locator(".tb-quiz-question").nth(0), page.locator(".tb-quiz-question").nth(1)
    readout = page.locator(".tb-readout")
    assert readout.text_content() == "0 of 2 right. 2 not answered yet."
    assert "why" not in page.locator(".tb").inner_text()
    assert page.locator(".tb-quiz-why").all_text_contents() == [""] * 6  # not even hidden in the page
    first.get_by_role("button", name="Check").click()
    assert "Choose an answer first." in first.inner_text()
    first.get_by_role("radio").nth(2).tap()
    first.get_by_role("button", name="Check").tap()
    assert "Wrong. why two" in first.inner_text()
    assert "why one" not in first.inner_html()
    assert readout.text_content() == "0 of 2 right. 1 not answered yet."
    first.get_by_role("radio").nth(1).check()
    assert "why" not in first.inner_text()  # a new choice takes the old verdict away
    first.get_by_role("button", name="Check").click()
    assert all(text in first.inner_text() for text in ("why zero", "Right. why one", "Not this one. why two"))
    second.get_by_role("checkbox").nth(0).check()
    second.get_by_role("button", name="Check").click()
    assert "Not yet: one is missing." in second.inner_text()
    assert "w2" not in second.inner_html()
    second.get_by_role("button", name="Show the answer").click()
    assert "The answer. w2" in second.inner_text()
    assert readout.text_content() == "1 of 2 right."
    watched.check()


@pytest.mark.slow
def test_answering_by_keyboard_and_coming_back(open_widgets) -> None:
    watched = open_widgets(quiz())
    page = watched.page
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")  # in a field, Enter checks
    assert "Right. why one" in page.locator(".tb-quiz-question").first.inner_text()
    page.reload()
    page.locator("[data-ready=yes]").wait_for()
    assert page.locator(".tb-readout").text_content() == "1 of 2 right. 1 not answered yet."
    assert page.get_by_role("radio").nth(1).is_checked()
    page.get_by_role("button", name="Forget all answers").click()
    assert page.locator(".tb-readout").text_content() == "0 of 2 right. 2 not answered yet."
    assert page.evaluate("localStorage.length") == 0
    watched.check()


@pytest.mark.slow
def test_it_works_where_the_browser_refuses_its_storage(open_widgets) -> None:
    watched = open_widgets(quiz())
    page = watched.page
    page.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no'); } })")
    page.reload()
    page.locator("[data-ready=yes]").wait_for()
    page.get_by_role("radio").nth(1).check()
    page.get_by_role("button", name="Check").first.click()
    assert page.locator(".tb-readout").text_content() == "1 of 2 right. 1 not answered yet."
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 900)])
def test_nothing_overflows_and_controls_are_named(open_widgets, theme: str, width: int) -> None:
    long = Question("A" * 90, ["$" + "+".join("abcdefgh") + "$", "`" + "x" * 60 + "`"], 0, ["u" * 80, "v"])
    watched = open_widgets(quiz(ONE, long), theme=theme, width=width)
    page = watched.page
    for question in page.locator(".tb-quiz-question").all():
        question.get_by_role("radio").first.check()
        question.get_by_role("button", name="Check").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    names = [group.evaluate("node => node.querySelector('legend').textContent") for group in
             page.locator("fieldset").all()]  # fmt: skip
    assert re.match(r"1\. Which rate is lr", names[0])
    watched.check()
