"use strict";
// Any number against any other, and many at once as parallel coordinates.
Report.views.set("explore", {
  title: "Explore",
  state: { x: null, y: null, colour: "", axes: null },
  show(main) {
    const { element, labelled, select, selection, plain } = Report;
    const { state } = this;
    const numeric = selection.numeric();
    const varying = numeric.filter((column) => new Set(column.values.filter((value) => value !== null)).size > 1);
    if (!varying.length) {
      main.append(element("p", {}, "No number differs between runs."));
      return null;
    }
    const metrics = varying.filter((column) => column.part === "metric");
    const settings = varying.filter((column) => column.part === "config" || column.part === "param");
    const known = (wanted) => varying.some((column) => column.key === wanted);
    const both = (...some) => selection.rows.filter((row) => some.every((column) => Number.isFinite(selection.value(row, column.key)))).length;
    // To begin with: the main metric, against what most of its runs have beside it, settings first.
    const first = metrics.find((column) => column.shown) ?? metrics[0] ?? varying[0];
    const beside = [...settings, ...metrics, ...varying].filter((column) => column !== first);
    const best = beside.reduce((found, column) => (found === null || both(first, column) > both(first, found) ? column : found), null);
    if (!known(state.x)) state.x = (best ?? first).key;
    if (!known(state.y)) state.y = first.key;
    if (state.axes === null) {
      const taken = [];
      for (const column of new Set([...settings, ...metrics.filter((one) => one.shown && one !== first), ...metrics])) {
        if (column !== first && taken.length < 6 && both(first, ...taken, column) * 2 > both(first)) taken.push(column);
      }
      state.axes = new Set([...taken, first].map((column) => column.key));
    }
    const options = varying.map((column) => [column.key, `${column.part}: ${column.label}`]);
    const label = (wanted) => selection.byKey.get(wanted).label;
    const change = (name) => (value) => {
      state[name] = value;
      draw();
    };
    const scatter = Report.figure("Scatter");
    const parallel = Report.figure("Parallel coordinates");
    const axes = element("fieldset", {}, element("legend", {}, "axes"));
    for (const column of varying) {
      axes.append(element("label", {}, Report.tick(state.axes.has(column.key), (on) => {
        state.axes[on ? "add" : "delete"](column.key);
        drawParallel();
      }), ` ${column.part}: ${column.label}`));
    }
    main.append(
      element("h2", {}, "Scatter"),
      element("div", { class: "controls" },
        labelled("Along", select(options, state.x, change("x"))),
        labelled("Upwards", select(options, state.y, change("y"))),
        labelled("Colour", select([["", "asset"], ...options], state.colour, change("colour"))),
      ),
      scatter.node,
      element("h2", {}, "Parallel coordinates"),
      element("details", { class: "chooser" }, element("summary", {}, "Axes"), axes),
      parallel.node,
    );

    const finite = (row, wanted) => Number.isFinite(selection.value(row, wanted));

    async function drawScatter() {
      const wanted = [state.x, state.y, ...(state.colour ? [state.colour] : [])];
      const all = selection.selected();
      const rows = all.filter((row) => wanted.every((name) => finite(row, name)));
      const groups = new Map();
      for (const row of rows) {
        const group = state.colour ? "" : selection.value(row, "run/asset") ?? selection.value(row, "run/recipe") ?? "";
        groups.set(group, [...(groups.get(group) ?? []), row]);
      }
      const traces = [...groups].map(([group, members], place) => ({
        type: "scatter", mode: "markers", name: plain(group), showlegend: groups.size > 1,
        x: members.map((row) => selection.value(row, state.x)), y: members.map((row) => selection.value(row, state.y)),
        text: members.map((row) => plain(selection.named(row))), customdata: members.map((row) => row.file),
        hovertemplate: "%{text}<br>%{x}, %{y}<extra></extra>",
        marker: state.colour
          ? { size: 9, color: members.map((row) => selection.value(row, state.colour)), colorscale: "Viridis", showscale: true,
              colorbar: { title: Report.title(label(state.colour)) } }
          : { size: 9, color: Report.line(place).color, symbol: place % 8 },
      }));
      await scatter.update({
        traces,
        layout: { xaxis: { title: Report.title(label(state.x)) }, yaxis: { title: Report.title(label(state.y)) } },
        label: `${label(state.y)} against ${label(state.x)}, ${rows.length} runs; the numbers are in the table below`,
        note: `${label(state.y)} against ${label(state.x)} of ${selection.describe()}, ${rows.length} of which have both. ` +
          "A point leads to the page of its run.",
        columns: [run, ...wanted.map(cells)], rows,
      });
      scatter.plot.removeAllListeners?.("plotly_click");
      scatter.plot.on("plotly_click", (event) => (location.href = `runs/${event.points[0].customdata}.html`));
    }

    const run = { key: "run", label: "run", header: true, value: selection.named,
      cell: (row) => element("a", { href: `runs/${row.file}.html` }, selection.named(row)) };
    const cells = (wanted, at) => ({ key: `${at}-${wanted}`, label: label(wanted), kind: "number", value: (row) => selection.value(row, wanted) });

    async function drawParallel() {
      const wanted = [...state.axes].filter(known).map((name) => selection.byKey.get(name));
      const all = selection.selected();
      const rows = wanted.length ? all.filter((row) => wanted.every((column) => finite(row, column.key))) : [];
      const ends = wanted.map((column) => {
        const values = rows.map((row) => selection.value(row, column.key));
        return [values.reduce((a, b) => Math.min(a, b), Infinity), values.reduce((a, b) => Math.max(a, b), -Infinity)];
      });
      const height = (row, at) => {
        const [low, high] = ends[at];
        return high > low ? (selection.value(row, wanted[at].key) - low) / (high - low) : 0.5;
      };
      // Lines of one colour are one trace, so a thousand runs are eight; the last axis gives the colour.
      const CLASSES = 8;
      const scale = ["#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39", "#e0c81f"];
      const traces = scale.map((colour, place) => ({ mode: "lines", x: [], y: [], text: [], line: { color: colour, width: 1.4 },
        opacity: rows.length > 100 ? 0.5 : 0.9, showlegend: false, hovertemplate: "%{text}<extra></extra>", name: String(place) }));
      for (const row of rows) {
        const trace = traces[Math.min(CLASSES - 1, Math.floor(height(row, wanted.length - 1) * CLASSES))];
        wanted.forEach((column, at) => {
          trace.x.push(at);
          trace.y.push(height(row, at));
          trace.text.push(plain(`${selection.named(row)}: ${column.label} = ${Report.words(selection.value(row, column.key))}`));
        });
        trace.x.push(null);
        trace.y.push(null);
        trace.text.push("");
      }
      const word = (value) => Report.words(Number.isFinite(value) ? value : null);
      await parallel.update({
        traces: traces.filter((trace) => trace.x.length),
        layout: {
          showlegend: false,
          margin: { l: 64, r: 64, t: 40, b: 64 },
          xaxis: { tickvals: wanted.map((_, at) => at), ticktext: wanted.map((column) => plain(column.label)), range: [-0.3, wanted.length - 0.7] },
          yaxis: { visible: false, range: [-0.08, 1.12] },
          annotations: wanted.flatMap((_, at) => [
            { x: at, y: -0.05, text: word(ends[at][0]), showarrow: false }, { x: at, y: 1.06, text: word(ends[at][1]), showarrow: false },
          ]),
          shapes: wanted.map((_, at) => ({ type: "line", x0: at, x1: at, y0: 0, y1: 1, line: { width: 1, color: "#8a8a8a" } })),
        },
        label: `Parallel coordinates of ${rows.length} runs over ${wanted.map((column) => column.label).join(", ")}; the numbers are in the table below`,
        note: `${rows.length} of ${selection.describe()} have a number on each axis. The last axis gives the colour.`,
        columns: [run, ...wanted.map((column, at) => cells(column.key, at))], rows,
      });
    }

    async function draw() {
      await drawScatter();
      await drawParallel();
    }

    draw();
    return draw;
  },
});
