"use strict";
// Which view the address names, and what a newer report changes.
(async () => {
  const { element, selection, views } = Report;
  const nav = document.getElementById("nav");
  const main = document.getElementById("main");
  let update = null;
  let turn = 0;

  for (const [name, view] of views) nav.append(element("a", { href: `#/${name}`, "data-view": name }, view.title));

  async function show(focus) {
    turn += 1;
    const mine = turn;
    const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
    const name = views.has(path) ? path : "runs";
    const view = views.get(name);
    for (const link of nav.children) {
      if (link.dataset.view === name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    document.title = `${view.title} · report`;
    const inside = element("div", { class: "view", "data-view": name });
    main.replaceChildren(element("h1", {}, view.title), inside);
    if (focus) main.focus();
    const found = await view.show(inside, new URLSearchParams(query));
    if (mine === turn) update = found ?? null;
    inside.dataset.ready = "yes";
  }

  const runs = await Report.load("runs");
  if (runs === null) {
    main.append(element("p", { class: "problem" }, "The data of this report could not be read: data/runs.js is missing."));
    return;
  }
  selection.take(runs);
  // The skip link names a place on the page and no view.
  addEventListener("hashchange", () => { if (location.hash !== "#main") show(true); });
  await show(false);
  const stamp = await Report.load("stamp");
  document.body.append(element("footer", {}, `Made ${Report.words(stamp?.made, "time")} UTC from the catalog of a store; ${runs.everything ? "all runs" : "some runs"}.`));
  Report.watch(async () => {
    for (const name of ["lineage", "artifacts", "results"]) await Report.load(name, true);
    selection.take(await Report.load("runs", true));
    if (update) await update();
    Report.say("The report was written again; this page shows it.");
  });
})();
