// The picture answers before the formulas are set: on a page of proofs MathJax takes seconds and lets nothing else run.
// This must run before MathJax does, so it is not deferred. MathJax waits until the explorers have drawn, or 2 s.
(() => {
  if (globalThis.gradpressDrawn) return;
  const drawn = new Promise((resolve) => { globalThis.gradpressDrawn = resolve; });
  const patience = new Promise((resolve) => setTimeout(resolve, 2000));
  globalThis.MathJax ??= {};
  MathJax.startup = {
    ...MathJax.startup,
    pageReady: () => Promise.race([drawn, patience]).then(() => MathJax.startup.defaultPageReady()),
  };
})();
