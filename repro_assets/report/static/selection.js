"use strict";
// Which runs the figures are about: those that are chosen, else those that pass the filter, in the order of the table.
Report.selection = (() => {
  const { words } = Report;
  const state = { filter: "", sort: { key: "run/started", down: true }, shown: null, chosen: new Set() };
  let data = null;
  let rows = [];
  let byKey = new Map();

  function take(runs) {
    data = runs;
    byKey = new Map(runs.columns.map((column) => [column.key, column]));
    rows = runs.ids.map((id, place) => ({ id, place, file: runs.files[place] }));
    state.shown ??= new Set(runs.columns.filter((column) => column.shown).map((column) => column.key));
    const known = new Set(runs.ids);
    state.chosen = new Set([...state.chosen].filter((id) => known.has(id)));
  }

  const value = (row, key) => byKey.get(key)?.values[row.place] ?? null;
  const name = (row) => words(value(row, "run/name"));
  const named = (row) => {
    const seed = value(row, "run/seed");
    return `${name(row)}${seed === null ? "" : `, seed ${seed}`} (${row.id.slice(0, 8)})`;
  };

  function column(word) {
    const wanted = word.toLowerCase();
    const all = data.columns;
    return (
      all.find((item) => item.key.toLowerCase() === wanted) ?? all.find((item) => item.label.toLowerCase() === wanted)
    );
  }

  const TERM = /(?:[^\s"]|"[^"]*")+/g;
  const CONDITION = /^((?:[^"<>=!~:]|"[^"]*")+?)(<=|>=|!=|=|<|>|~|:)(.*)$/s;
  const bare = (text) => text.replaceAll('"', "");

  // Returns a function that tells of a row whether it passes, or a text that says what is wrong.
  function compile(text) {
    const tests = [];
    for (const term of text.match(TERM) ?? []) {
      const parts = CONDITION.exec(term);
      if (parts === null) {
        const wanted = bare(term).toLowerCase();
        tests.push((row) =>
          row.id.startsWith(wanted) ||
          [...state.shown].some((key) => words(value(row, key), byKey.get(key)?.kind).toLowerCase().includes(wanted)),
        );
        continue;
      }
      const [, left, sign, right] = parts;
      const found = column(bare(left));
      if (!found) return `No column is called ${bare(left)}.`;
      const wanted = bare(right);
      const limit = Number(wanted);
      if (found.kind === "number" && wanted !== "" && Number.isNaN(limit) && wanted !== "NaN") {
        return `${found.label} is a number, and ${wanted} is none.`;
      }
      tests.push((row) => passes(found, value(row, found.key), sign, wanted, limit));
    }
    return (row) => tests.every((test) => test(row));
  }

  function passes(found, cell, sign, wanted, limit) {
    if (wanted === "") return sign === "!=" ? cell !== null : cell === null;
    if (cell === null) return sign === "!=";
    if (found.kind === "number") {
      const same = Object.is(cell, limit) || cell === limit;
      if (sign === "!=") return !same;
      if (sign === "=" || sign === ":" || sign === "~") return same;
      return sign === "<" ? cell < limit : sign === ">" ? cell > limit : sign === "<=" ? cell <= limit : cell >= limit;
    }
    const text = words(cell, found.kind).toLowerCase();
    const other = wanted.toLowerCase();
    if (sign === "=") return text === other;
    if (sign === "!=") return text !== other;
    if (sign === ":" || sign === "~") return text.includes(other);
    return sign === "<" ? text < other : sign === ">" ? text > other : sign === "<=" ? text <= other : text >= other;
  }

  function filtered() {
    const test = compile(state.filter);
    return typeof test === "string" ? rows : rows.filter(test);
  }

  function ordered(some) {
    const column = byKey.get(state.sort.key);
    if (!column) return some;
    const missing = (item) => item === null || Number.isNaN(item);
    const sign = state.sort.down ? -1 : 1;
    return [...some].sort((one, other) => {
      const [a, b] = [column.values[one.place], column.values[other.place]];
      if (missing(a) || missing(b)) return missing(a) - missing(b);
      if (typeof a === "number" && typeof b === "number") return sign * (a < b ? -1 : a > b ? 1 : 0);
      return sign * words(a).localeCompare(words(b), undefined, { numeric: true });
    });
  }

  function selected() {
    return ordered(state.chosen.size ? rows.filter((row) => state.chosen.has(row.id)) : filtered());
  }

  function describe() {
    if (state.chosen.size) return `the ${state.chosen.size} chosen run${state.chosen.size === 1 ? "" : "s"}`;
    if (state.filter.trim() !== "") return `the ${filtered().length} runs that pass the filter`;
    return `all ${rows.length} runs`;
  }

  return {
    state, take, value, name, named, compile, filtered, selected, describe,
    get data() { return data; },
    get rows() { return rows; },
    get byKey() { return byKey; },
    byId: (id) => rows.find((row) => row.id === id) ?? rows.find((row) => id.length >= 8 && row.id.startsWith(id)),
    numeric: () => data.columns.filter((column) => column.kind === "number"),
  };
})();
