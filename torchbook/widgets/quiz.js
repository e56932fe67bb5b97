import * as kit from "./kit.js";

const { h } = kit;

/** How an answer fares: the picked options that are wrong, how many right ones are missing, and whether all is right. */
export function verdict(correct, picked) {
  const wrong = picked.filter((index) => !correct.includes(index));
  const missing = correct.filter((index) => !picked.includes(index)).length;
  return { wrong, missing, right: wrong.length === 0 && missing === 0 };
}

/** The line under a question that was checked. It never says which option is missing. */
export function comment(question, picked) {
  const { wrong, missing, right } = verdict(question.correct, picked);
  if (right) return "Right.";
  if (!question.several) return "Not yet. Try another answer.";
  const parts = [];
  if (wrong.length) parts.push(wrong.length === 1 ? "one choice is wrong" : `${wrong.length} choices are wrong`);
  if (missing) parts.push(missing === 1 ? "one is missing" : `${missing} are missing`);
  return `Not yet: ${parts.join(", ")}.`;
}

/** The options whose explanation may be read: those that were answered; all once the answer is right or given up. */
export function explained(question, answer) {
  const all = question.options.map((_, index) => index);
  if (answer.shown) return all;
  if (!answer.checked) return [];
  return verdict(question.correct, answer.checked).right ? all : answer.checked;
}

/** How many questions are right, and the line that says so. */
export function score(questions, answers) {
  const right = questions.filter((question, i) => answers[i].checked
    && verdict(question.correct, answers[i].checked).right).length;
  const open = answers.filter((answer) => !answer.checked && !answer.shown).length;
  const rest = open ? ` ${open} not answered yet.` : "";
  return { right, open, text: `${right} of ${questions.length} right.${rest}` };
}

/** No answer yet to any question. */
export function blank(questions) {
  return questions.map(() => ({ picked: [], checked: null, shown: false }));
}

/** The answers in a stored text; whatever does not fit these questions counts as no answer. */
export function restore(text, questions) {
  const empty = blank(questions);
  let stored = null;
  try { stored = JSON.parse(text); } catch { return empty; }
  if (!Array.isArray(stored) || stored.length !== questions.length) return empty;
  return stored.map((answer, i) => {
    const fits = (list) => Array.isArray(list) && (questions[i].several || list.length <= 1)
      && list.every((index) => Number.isInteger(index) && index >= 0 && index < questions[i].options.length);
    if (!answer || !fits(answer.picked) || !(answer.checked === null || fits(answer.checked))) return empty[i];
    return { picked: answer.picked, checked: answer.checked, shown: answer.shown === true };
  });
}

// The browser may refuse its storage (private mode, file://, a sandboxed frame): the quiz then forgets on reload.
function storage(key) {
  const attempt = (action) => { try { return action(); } catch { return null; } };
  return {
    read: () => attempt(() => localStorage.getItem(key)),
    write: (text) => attempt(() => localStorage.setItem(key, text)),
    forget: () => attempt(() => localStorage.removeItem(key)),
  };
}

function html(tag, className, source) {
  const node = h(tag, { class: className });
  node.innerHTML = source; // escaped by Python: code, em and MathML alone
  return node;
}

function optionView(question, index, name, onPick) {
  const id = kit.uid("tb-option");
  const input = h("input", { type: question.several ? "checkbox" : "radio", name, value: index, id, onchange: onPick });
  const sign = h("span", { class: "tb-quiz-sign", "aria-hidden": "true" });
  const why = h("p", { class: "tb-quiz-why", id: `${id}-why`, hidden: true });
  const node = h("div", { class: "tb-quiz-option" },
    h("label", { for: id }, input, html("span", "tb-quiz-text", question.options[index]), sign), why);
  const good = question.correct.includes(index);
  return { node, input, show(visible) {
    const word = input.checked ? (good ? "Right." : "Wrong.") : (good ? "The answer." : "Not this one.");
    node.classList.toggle("good", visible && good);
    node.classList.toggle("bad", visible && !good && input.checked);
    sign.textContent = visible ? (good ? "✓" : "✗") : "";
    why.hidden = !visible;
    why.replaceChildren(...(visible ? [h("strong", { text: `${word} ` }), html("span", "", question.why[index])] : []));
    if (visible) input.setAttribute("aria-describedby", why.id);
    else input.removeAttribute("aria-describedby");
  } };
}

function questionView(question, number, answerOf, change) {
  const name = kit.uid("tb-question");
  const picked = () => options.flatMap((option, index) => (option.input.checked ? [index] : []));
  // A new choice hides the verdict on the old one.
  const onPick = () => change({ picked: picked(), checked: null, shown: false });
  const options = question.options.map((_, index) => optionView(question, index, name, onPick));
  const check = h("button", { type: "submit", class: "tb-button primary", text: "Check",
    "aria-label": `Check question ${number}` });
  const giveUp = kit.button({ text: "Show the answer", name: `Show the answer to question ${number}`,
    onClick: () => change({ ...answerOf(), shown: true }) });
  const result = h("span", { role: "status" });
  const legend = h("legend", {}, h("span", { class: "tb-quiz-number", text: `${number}. ` }),
    html("span", "", question.text), question.several ? h("span", { class: "tb-quiz-hint", text: " Choose all that apply." }) : null);
  const submit = (event) => {
    event.preventDefault();
    if (picked().length) change({ picked: picked(), checked: picked(), shown: false });
    else result.textContent = "Choose an answer first.";
  };
  const node = h("form", { class: "tb-quiz-question", onsubmit: submit },
    h("fieldset", {}, legend, options.map((option) => option.node)),
    h("div", { class: "tb-row" }, check, giveUp, result));
  const update = () => {
    const answer = answerOf();
    const visible = explained(question, answer);
    options.forEach((option, index) => {
      option.input.checked = answer.picked.includes(index);
      option.show(visible.includes(index));
    });
    const failed = answer.checked !== null && !verdict(question.correct, answer.checked).right;
    giveUp.hidden = !failed || answer.shown;
    result.textContent = answer.shown ? "Here is the answer." : (answer.checked ? comment(question, answer.checked) : "");
    result.className = `tb-quiz-result ${answer.checked && !answer.shown ? (failed ? "bad" : "good") : ""}`;
    if (document.activeElement === giveUp && giveUp.hidden) check.focus(); // a hidden button would drop the focus
  };
  return { node, update };
}

function render({ model, el }) {
  const questions = model.get("questions");
  const store = storage(`torchbook-quiz:${model.get("quiz_id")}:${model.get("edition")}`);
  const { body, say } = kit.frame(el, model.get("title"));
  let answers = restore(store.read(), questions);
  const views = questions.map((question, i) => questionView(question, i + 1, () => answers[i], (answer) => {
    answers = answers.map((old, j) => (j === i ? answer : old));
    store.write(JSON.stringify(answers));
    refresh();
  }));
  const reset = kit.button({ text: "Start again", name: "Start again: forget all answers of this quiz", onClick: () => {
    answers = blank(questions);
    store.forget();
    refresh();
    body.querySelector("input").focus();
  } });
  const refresh = () => {
    for (const view of views) view.update();
    reset.disabled = answers.every((answer) => answer.picked.length === 0 && !answer.shown);
    say(score(questions, answers).text);
  };
  body.append(...views.map((view) => view.node), h("div", { class: "tb-row tb-quiz-foot" }, reset,
    h("span", { class: "tb-quiz-hint", text: "Your answers stay in this browser." })));
  refresh();
}

export default { render };
