// A deck of a page: the list of fronts and backs becomes a card to turn over. What the reader knows stays in the browser.
(() => {
  "use strict";

  const make = (tag, className, text) => Object.assign(document.createElement(tag), { className, textContent: text || "" });

  // Private windows and files opened from a disk may refuse storage: then the deck forgets when the page is left.
  function remembered(name) {
    try { return new Set(JSON.parse(localStorage.getItem(name) || "[]")); } catch { return new Set(); }
  }
  function remember(name, keys) {
    try { localStorage.setItem(name, JSON.stringify([...keys])); } catch { /* nothing to do */ }
  }

  function deck(root) {
    const cards = [...root.querySelectorAll(".flashcard")].map((pair) => ({
      key: pair.dataset.key, front: pair.querySelector("dt"), back: pair.querySelector("dd"),
    }));
    for (const card of cards) {
      for (const side of ["front", "back"]) {
        const face = make("div", `flashcard-${side}`);
        face.append(...card[side].childNodes);
        card[side] = face;
      }
    }
    const store = make("div", "flashcards-store");       // out of sight but laid out, so that maths is set at its true size
    store.setAttribute("aria-hidden", "true");
    store.append(...cards.flatMap((card) => [card.front, card.back]));
    const face = make("div", "flashcards-face");
    face.setAttribute("aria-live", "polite");
    const progress = make("p", "flashcards-progress");
    const controls = make("div", "flashcards-controls");
    const buttons = {};
    for (const [name, label] of [["turn", "Show the answer"], ["back", "Previous"], ["next", "Next"],
                                 ["known", "I knew it"], ["again", "Again"], ["shuffle", "Shuffle"], ["forget", "Forget what I know"]]) {
      buttons[name] = Object.assign(make("button", `flashcards-${name}`, label), { type: "button" });
      controls.append(buttons[name]);
    }
    root.querySelector("dl").replaceWith(face, progress, controls, store);

    const name = `gradpress-${root.id}`;
    const known = remembered(name);
    let at = 0, turned = false;

    function show() {
      const card = cards[at];
      store.append(...face.children);
      face.append(card.front, ...(turned ? [card.back] : []));
      buttons.turn.textContent = turned ? "Hide the answer" : "Show the answer";
      const count = cards.filter(({ key }) => known.has(key)).length;
      progress.textContent = `Card ${at + 1} of ${cards.length}${known.has(card.key) ? ", known" : ""} · ${count} known`;
      buttons.forget.disabled = count === 0;
    }
    function go(to) {
      at = (to + cards.length) % cards.length;
      turned = false;
      show();
    }
    function judge(knows) {
      if (knows) known.add(cards[at].key); else known.delete(cards[at].key);
      remember(name, known);
      const unknown = cards.map((_, i) => (at + 1 + i) % cards.length).find((i) => !known.has(cards[i].key));
      go(unknown === undefined ? at + 1 : unknown);
    }
    function shuffle() {
      for (let i = cards.length - 1; i > 0; i--) {
        const j = Math.floor(Math.random() * (i + 1));
        [cards[i], cards[j]] = [cards[j], cards[i]];
      }
      go(0);
    }
    function turn() { turned = !turned; show(); }

    buttons.turn.addEventListener("click", turn);
    buttons.back.addEventListener("click", () => go(at - 1));
    buttons.next.addEventListener("click", () => go(at + 1));
    buttons.known.addEventListener("click", () => judge(true));
    buttons.again.addEventListener("click", () => judge(false));
    buttons.shuffle.addEventListener("click", shuffle);
    buttons.forget.addEventListener("click", () => { known.clear(); remember(name, known); show(); buttons.turn.focus(); });
    face.addEventListener("click", (event) => { if (!event.target.closest("a") && !String(getSelection())) turn(); });
    root.addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft") go(at - 1); else if (event.key === "ArrowRight") go(at + 1); else return;
      event.preventDefault();
    });
    show();
  }

  document.querySelectorAll(".flashcards").forEach(deck);
})();
