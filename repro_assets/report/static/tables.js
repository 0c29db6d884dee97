"use strict";
// A table with headers that sort, in pages of rows.
Report.table = ({ caption, columns, rows, sort = null, page = 200, onsort = null, empty = "Nothing." }) => {
  const { element, words } = Report;
  const state = { sort: sort ?? { key: null, down: false }, start: 0, rows };
  const whole = element("div", { class: "table" });
  const head = element("tr");
  const body = element("tbody");
  const title = element("caption");
  const pager = element("p", { class: "pager" });
  const table = element("table", {}, title, element("thead", {}, head), body);
  whole.append(element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, table), pager);

  const value = (column, row) => (column.value ? column.value(row) : row[column.key]);
  const missing = (item) => item === null || item === undefined || item === "" || Number.isNaN(item);

  function ordered() {
    const column = columns.find((item) => item.key === state.sort.key);
    if (!column) return state.rows;
    const sign = state.sort.down ? -1 : 1;
    // What has no value comes last, whichever way.
    return state.rows
      .map((row) => [value(column, row), row])
      .sort(([a], [b]) => {
        if (missing(a) || missing(b)) return missing(a) - missing(b);
        if (typeof a === "number" && typeof b === "number") return sign * (a < b ? -1 : a > b ? 1 : 0);
        return sign * words(a).localeCompare(words(b), undefined, { numeric: true });
      })
      .map(([, row]) => row);
  }

  function headers() {
    head.replaceChildren();
    for (const column of columns) {
      const direction = state.sort.key !== column.key ? "none" : state.sort.down ? "descending" : "ascending";
      const cell = element("th", { scope: "col", class: column.kind === "number" ? "number" : null });
      if (column.fixed) {
        cell.append(column.label);
      } else {
        cell.setAttribute("aria-sort", direction);
        const mark = { none: "", ascending: " ▲", descending: " ▼" }[direction];
        const button = element("button", { type: "button", onclick: () => turn(column) }, column.label);
        button.append(element("span", { "aria-hidden": "true" }, mark));
        cell.append(button);
      }
      head.append(cell);
    }
  }

  function turn(column) {
    const first = column.kind === "number" && column.better !== "low";
    state.sort = { key: column.key, down: state.sort.key === column.key ? !state.sort.down : first };
    state.start = 0;
    draw();
    const place = columns.indexOf(column);
    head.children[place].querySelector("button").focus();
    onsort?.(state.sort, ordered());
  }

  function draw() {
    headers();
    const all = ordered();
    const shown = all.slice(state.start, state.start + page);
    body.replaceChildren();
    for (const row of shown) {
      const line = element("tr");
      for (const column of columns) {
        const item = column.cell ? column.cell(row) : words(value(column, row), column.kind);
        const header = column.header ? { scope: "row" } : {};
        line.append(
          element(column.header ? "th" : "td", { ...header, class: column.kind ?? null }, item),
        );
      }
      body.append(line);
    }
    if (!shown.length) body.append(element("tr", {}, element("td", { colspan: String(columns.length || 1) }, empty)));
    title.textContent = `${caption}, ${all.length} row${all.length === 1 ? "" : "s"}`;
    pager.replaceChildren();
    if (all.length > page) {
      const move = (by) => () => {
        state.start += by;
        draw();
        pager.querySelector(by > 0 ? "button:last-child" : "button")?.focus();
      };
      pager.append(
        element("button", { type: "button", disabled: state.start === 0, onclick: move(-page) }, "Previous"),
        ` rows ${state.start + 1} to ${state.start + shown.length} of ${all.length} `,
        element("button", { type: "button", disabled: state.start + page >= all.length, onclick: move(page) }, "Next"),
      );
    }
  }

  draw();
  return {
    node: whole,
    ordered,
    update(more) {
      if (more.rows) state.rows = more.rows;
      if (more.columns) columns = more.columns;
      if (state.start >= state.rows.length) state.start = 0;
      draw();
    },
  };
};
