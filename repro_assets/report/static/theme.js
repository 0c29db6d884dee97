"use strict";
// The theme is the system's unless the reader chose one. It is set before anything is painted.
(() => {
  const WORDS = ["system", "light", "dark"];
  const KEY = "repro-report-theme";

  function chosen() {
    try {
      const word = localStorage.getItem(KEY);
      return WORDS.includes(word) ? word : "system";
    } catch {
      return "system"; // a browser may refuse storage to pages from the disk
    }
  }

  function apply(word) {
    document.documentElement.dataset.theme = word;
    const button = document.getElementById("theme");
    if (button) button.textContent = `Theme: ${word}`;
    document.dispatchEvent(new Event("themechange"));
  }

  function next() {
    const word = WORDS[(WORDS.indexOf(document.documentElement.dataset.theme) + 1) % WORDS.length];
    try {
      localStorage.setItem(KEY, word);
    } catch {
      // It holds for this page, then.
    }
    apply(word);
  }

  apply(chosen());
  document.addEventListener("DOMContentLoaded", () => {
    apply(chosen());
    document.getElementById("theme").addEventListener("click", next);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    document.dispatchEvent(new Event("themechange"));
  });
})();
