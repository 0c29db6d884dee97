"use strict";
// Runs side by side: what differs between them.
Report.views.set("compare", {
  title: "Compare",
  state: { equal: false, filter: "" },
  show(main, query) {
    const { element, labelled, tick, words, selection } = Report;
    const { state } = this;
    const asked = (query.get("runs") ?? "").split(",").filter(Boolean);
    const rows = asked.length
      ? asked.map((id) => selection.byId(id)).filter(Boolean)
      : selection.rows.filter((row) => selection.state.chosen.has(row.id));
    const unknown = asked.filter((id) => !selection.byId(id));
    const go = (ids) => (location.hash = `#/compare?runs=${ids.map(encodeURIComponent).join(",")}`);
    const ids = rows.map((row) => row.id);
    const others = selection.rows.filter((row) => !ids.includes(row.id));
    const picker = Report.select([["", "…"], ...others.map((row) => [row.id, selection.named(row)])], "", () => {});
    const add = element("button", { type: "button", onclick: () => picker.value && go([...ids, picker.value]) }, "Add");
    const place = element("div");
    main.append(
      element("div", { class: "controls" },
        labelled("Run", picker, add),
        labelled("Also what is equal", tick(state.equal, (on) => { state.equal = on; draw(); })),
      ),
      place,
    );
    if (unknown.length) main.prepend(element("p", { class: "problem" }, `Not in this report: ${unknown.join(", ")}.`));

    const mark = (part, name) => JSON.stringify([part, name]);

    async function facts(row) {
      const details = await Report.load(`runs/${row.file}`);
      const found = new Map();
      const about = details?.facts ?? [];
      const file = selection.data.environments[details?.environment];
      const packages = file ? await Report.load(`environments/${file}`) : [];
      for (const [part, name, value] of about) found.set(mark(part, name), value);
      for (const [name, version] of packages ?? []) found.set(mark("package", name), version);
      return found;
    }

    const same = (one, other) => Object.is(one, other) || words(one) === words(other);

    async function draw() {
      if (rows.length < 2) {
        place.replaceChildren(element("p", {}, "Choose two runs or more: here, or in the table of runs."));
        return;
      }
      const known = await Promise.all(rows.map(facts));
      const names = [...new Set(known.flatMap((found) => [...found.keys()]))];
      const lines = [];
      for (const key of names) {
        const values = known.map((found) => found.get(key) ?? null);
        const differs = values.some((value) => !same(value, values[0]));
        if (!differs && !state.equal) continue;
        const [part, name] = JSON.parse(key);
        const line = { part, name, values };
        if (rows.length === 2 && values.every((value) => typeof value === "number")) line.delta = values[1] - values[0];
        lines.push(line);
      }
      const columns = [
        { key: "part", label: "part" },
        { key: "name", label: "name", header: true },
        ...rows.map((row, at) => ({
          key: `run-${at}`, label: selection.named(row), value: (line) => line.values[at],
          cell: (line) => words(line.values[at]),
        })),
      ];
      if (rows.length === 2) columns.push({ key: "delta", label: "second less first", kind: "number" });
      const table = Report.table({
        caption: state.equal ? "Everything about these runs" : "What differs",
        columns, rows: lines, page: 500, empty: "Nothing differs.",
      });
      const list = element("ul", { class: "runs" }, ...rows.map((row) => element("li", {},
        element("a", { href: `runs/${row.file}.html` }, selection.named(row)), " ",
        element("button", { type: "button", "aria-label": `leave out ${selection.named(row)}`,
          onclick: () => go(ids.filter((id) => id !== row.id)) }, "leave out"))));
      const code = element("p", { class: "help" }, "The difference of the code: ",
        element("code", {}, `repro runs compare ${ids.join(" ")}`));
      place.replaceChildren(list, code, table.node);
    }

    draw();
    return null;
  },
});
