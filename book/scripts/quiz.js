// Questions of a page: a button checks the choice, the reasons come out of the fold into a live region.
(() => {
  "use strict";

  const make = (tag, className, text) => Object.assign(document.createElement(tag), { className, textContent: text || "" });

  function question(fieldset, solved) {
    const inputs = [...fieldset.querySelectorAll(".quiz-choice input")];
    const fold = fieldset.querySelector(".quiz-reasons");
    const reasons = [...fold.querySelectorAll("li")];
    const several = inputs[0].type === "checkbox";
    const button = Object.assign(make("button", "quiz-check", "Check"), { type: "button" });
    const feedback = make("div", "quiz-feedback");
    feedback.setAttribute("aria-live", "polite");
    fold.before(button, feedback);
    fold.hidden = true;
    const isRight = (input) => input.dataset.right === "true";

    function clear() {
      feedback.replaceChildren();
      fold.querySelector("ul").append(...reasons);
      for (const input of inputs) input.parentElement.classList.remove("is-right", "is-wrong");
    }

    // Of one choice the reader is told why it is right or wrong; of several, also about those left out by mistake.
    function told(all) {
      if (!several) return reasons.filter((_, i) => inputs[i].checked);
      return reasons.filter((_, i) => all ? isRight(inputs[i]) : inputs[i].checked !== isRight(inputs[i]));
    }

    function check() {
      clear();
      if (!inputs.some((input) => input.checked)) {
        feedback.append(make("p", "quiz-verdict", several ? "Tick at least one answer first." : "Choose an answer first."));
        return;
      }
      const right = inputs.every((input) => input.checked === isRight(input));
      const wrongly = inputs.filter((input) => input.checked !== isRight(input)).length;
      const count = wrongly === 1 ? "One answer is" : `${wrongly} answers are`;
      let verdict = right ? "Right." : several ? `Not yet: ${count} ticked or left out wrongly.` : "Not right.";
      if (right) verdict += solved(fieldset);
      const list = make("ul", "quiz-told");
      list.append(...told(right));
      feedback.append(make("p", `quiz-verdict ${right ? "is-right" : "is-wrong"}`, verdict), list);
      for (const input of inputs) {
        if (input.checked) input.parentElement.classList.add(isRight(input) ? "is-right" : "is-wrong");
      }
    }

    button.addEventListener("click", check);
    for (const input of inputs) {
      input.addEventListener("change", clear);
      input.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); check(); } });
    }
  }

  for (const quiz of document.querySelectorAll(".quiz")) {
    const questions = [...quiz.querySelectorAll(".quiz-question")];
    const done = new Set();
    const solved = (fieldset) => {
      done.add(fieldset);
      return done.size === questions.length ? " That was the last: every question is answered." : ` ${done.size} of ${questions.length} answered.`;
    };
    for (const fieldset of questions) question(fieldset, solved);
  }
})();
