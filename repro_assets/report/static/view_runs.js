"use strict";
// The table of runs: filter, choose columns, sort, choose runs.
Report.views.set("runs", {
  title: "Runs",
  show(main) {
    const { element, labelled, words, selection } = Report;
    const { state, data } = selection;
    const problem = element("p", { role: "alert", class: "problem" });
    const chosen = element("p", { class: "chosen", role: "status" });

    function cell(column) {
      if (column.key === "run/name") {
        return (row) => element("a", { href: `runs/${row.file}.html` }, selection.name(row));
      }
      return (row) => {
        const text = words(selection.value(row, column.key), column.kind);
        return column.key === "run/state" ? element("span", { class: `state ${text.toLowerCase()}` }, text) : text;
      };
    }

    function columns() {
      const box = {
        key: "chosen",
        label: "chosen",
        value: (row) => (state.chosen.has(row.id) ? 0 : 1),
        cell: (row) => {
          const made = Report.tick(state.chosen.has(row.id), (on) => {
            state.chosen[on ? "add" : "delete"](row.id);
            tell();
          });
          made.setAttribute("aria-label", `choose ${selection.named(row)}`);
          return made;
        },
      };
      const shown = data.columns.filter((column) => state.shown.has(column.key));
      return [
        box,
        ...shown.map((column) => ({
          key: column.key,
          label: column.label,
          kind: column.kind,
          header: column.key === "run/name",
          value: (row) => selection.value(row, column.key),
          cell: cell(column),
        })),
      ];
    }

    function tell() {
      const ids = [...state.chosen];
      chosen.replaceChildren(
        ids.length ? `${ids.length} chosen: figures are about these. ` : "None chosen: figures are about all rows. ",
      );
      if (ids.length) {
        chosen.append(
          element("a", { href: `#/compare?runs=${ids.map(encodeURIComponent).join(",")}` }, "Compare"),
          " ",
          element("button", { type: "button", onclick: () => { state.chosen.clear(); tell(); table.update({}); } }, "Choose none"),
        );
      }
    }

    function filter(text) {
      state.filter = text;
      const test = selection.compile(text);
      problem.textContent = typeof test === "string" ? test : "";
      box.setAttribute("aria-invalid", typeof test === "string" ? "true" : "false");
      table.update({ rows: selection.filtered() });
    }

    const box = element("input", {
      type: "search", size: 48, value: state.filter, "aria-describedby": "filter-help",
      oninput: () => filter(box.value),
    });
    const help = element("p", { id: "filter-help", class: "help" },
      'Words that a row must have; or conditions such as state=FAILED, seed<3, asset:sft, "replay verdict"=identical.');
    const some = element("button", { type: "button", onclick: () => {
      for (const row of selection.filtered()) state.chosen.add(row.id);
      tell();
      table.update({});
    } }, "Choose these rows");

    const chooser = element("details", { class: "chooser" }, element("summary", {}, "Columns"));
    for (const part of ["run", "metric", "config", "param", "system"]) {
      const names = data.columns.filter((column) => column.part === part);
      if (!names.length) continue;
      const group = element("fieldset", {}, element("legend", {}, part));
      for (const column of names) {
        const made = Report.tick(state.shown.has(column.key), (on) => {
          state.shown[on ? "add" : "delete"](column.key);
          table.update({ columns: columns(), rows: selection.filtered() });
        });
        group.append(element("label", {}, made, ` ${column.label}`));
      }
      chooser.append(group);
    }

    const table = Report.table({
      caption: "Runs",
      columns: columns(),
      rows: selection.filtered(),
      sort: state.sort,
      onsort: (sort) => (state.sort = sort),
      empty: "No run passes the filter.",
    });
    main.append(
      element("div", { class: "controls" }, labelled("Filter", box), some), help, problem, chosen, chooser, table.node,
    );
    filter(state.filter);
    tell();
    return () => table.update({ columns: columns(), rows: selection.filtered() });
  },
});
