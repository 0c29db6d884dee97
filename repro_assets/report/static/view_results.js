"use strict";
// Versions of artifacts, the evaluations' leaderboard, studies over seeds, and verdicts of replays.
(() => {
  const { element, words, short, labelled } = Report;
  const lineage = (digest, text) => element("a", { href: `#/lineage?node=${encodeURIComponent(digest)}` }, text ?? short(digest));
  const run = (id, text) => {
    const row = id ? Report.selection.byId(id) : null;
    return row ? element("a", { href: `runs/${row.file}.html` }, text ?? id) : words(text ?? id);
  };
  const number = (key, label = key, more = {}) => ({ key, label, kind: "number", ...more });

  // A table under a field that filters its rows by any text in them.
  function filtered(main, label, options) {
    const table = Report.table(options);
    const text = new Map(options.rows.map((row) => [row, JSON.stringify(Object.values(row)).toLowerCase()]));
    const box = element("input", { type: "search", size: 32, oninput: () => {
      const wanted = box.value.toLowerCase().split(/\s+/).filter(Boolean);
      table.update({ rows: options.rows.filter((row) => wanted.every((word) => text.get(row).includes(word))) });
    } });
    main.append(element("div", { class: "controls" }, labelled(label, box)), table.node);
    return table;
  }

  Report.views.set("artifacts", {
    title: "Artifacts",
    async show(main) {
      const rows = await Report.load("artifacts");
      filtered(main, "Filter artifacts", {
        caption: "Versions of artifacts", rows,
        columns: [
          { key: "collection", label: "collection", header: true },
          number("version", "version", { cell: (row) => lineage(row.digest, `v${row.version}`) }),
          { key: "aliases", label: "aliases", cell: (row) => words(row.aliases) },
          { key: "kind", label: "kind" },
          number("size", "size", { cell: (row) => Report.size(row.size) }),
          number("parts"),
          { key: "run_name", label: "made by", value: (row) => row.run_name ?? row.run_id, cell: (row) => run(row.run_id, row.run_name ?? row.run_id) },
          { key: "time", label: "time", kind: "time" },
          { key: "trial", label: "trial", cell: (row) => (row.trial ? "yes" : "") },
          { key: "deleted", label: "deleted", cell: (row) => (row.deleted ? "yes" : "") },
          { key: "digest", label: "digest", cell: (row) => lineage(row.digest) },
        ],
      });
    },
  });

  Report.views.set("leaderboard", {
    title: "Leaderboard",
    state: { dataset: null, metric: null },
    async show(main) {
      const { leaderboard, studies } = await Report.load("results");
      if (!leaderboard.length) main.append(element("p", {}, "No model has been evaluated."));
      else board(main, leaderboard, this.state);
      main.append(element("h2", {}, "Studies over seeds"));
      const columns = ["study", "asset", "partition", "metric"].map((key) => ({ key, label: key, header: key === "metric" }));
      filtered(main, "Filter studies", {
        caption: "Last values over the seeds of a study", rows: studies, empty: "No study: repro run --seeds makes one.",
        columns: [...columns, number("n"), number("mean"), number("sd"), number("low", "95 % from"), number("high", "to"),
          { key: "seeds", label: "seeds", cell: (row) => words(row.seeds.map(String)) }],
      });
    },
  });

  function board(main, rows, state) {
    const unique = (list) => [...new Set(list)].map((item) => [item, item]);
    const count = (key) => (wanted) => rows.filter((row) => row[key] === wanted).length;
    const common = (key) => unique(rows.map((row) => row[key])).sort((a, b) => count(key)(b[0]) - count(key)(a[0]))[0][0];
    state.dataset ??= common("dataset");
    state.metric ??= (rows.find((row) => row.dataset === state.dataset && /^accuracy/.test(row.metric)) ?? rows.find((row) => row.dataset === state.dataset)).metric;
    const figure = Report.figure("Leaderboard");
    const place = element("div");
    const metrics = element("span");
    function choose() {
      const of = rows.filter((row) => row.dataset === state.dataset);
      if (!of.some((row) => row.metric === state.metric)) state.metric = of[0].metric;
      metrics.replaceChildren(labelled("Metric", Report.select(unique(of.map((row) => row.metric)), state.metric, (value) => { state.metric = value; draw(); })));
    }
    main.append(
      element("div", { class: "controls" },
        labelled("Data set", Report.select(unique(rows.map((row) => row.dataset)), state.dataset, (value) => { state.dataset = value; choose(); draw(); })),
        metrics),
      place, figure.node,
    );
    choose();
    function draw() {
      const shown = rows.filter((row) => row.dataset === state.dataset && row.metric === state.metric);
      const columns = [
        { key: "model", label: "model", header: true }, number("n", "models"), number("mean"), number("sd"),
        number("low", "95 % over models, from"), number("high", "to"), number("items_low", "95 % over items, from"), number("items_high", "to "),
        { key: "seeds", label: "seeds", cell: (row) => words(row.seeds.map(String)) },
        { key: "config", label: "config", cell: (row) => (row.config ? words(row.config) : "") },
        { key: "code_version", label: "code", cell: (row) => short(row.code_version) },
      ];
      place.replaceChildren(Report.table({ caption: `${state.metric} on ${state.dataset}`, columns, rows: shown, sort: { key: "mean", down: true } }).node);
      const reversed = [...shown].sort((a, b) => a.mean - b.mean);
      const name = (row, at) => Report.plain(`${row.model} #${reversed.length - at}`);
      figure.update({
        traces: [{
          type: "scatter", mode: "markers", x: reversed.map((row) => row.mean), y: reversed.map(name), marker: { size: 9, color: Report.line(0).color },
          error_x: { type: "data", symmetric: false, array: reversed.map((row) => (row.high ?? row.items_high ?? row.mean) - row.mean),
            arrayminus: reversed.map((row) => row.mean - (row.low ?? row.items_low ?? row.mean)) },
          hovertemplate: "%{y}: %{x}<extra></extra>",
        }],
        layout: { showlegend: false, height: Math.min(900, 120 + 24 * shown.length), xaxis: { title: Report.title(state.metric) }, yaxis: { type: "category" } },
        label: `${state.metric} on ${state.dataset} for ${shown.length} models; the numbers are in the table above`,
        note: `${state.metric} on ${state.dataset}: mean, and the 95 % interval over models, or over items where there is one model.`,
        columns: columns.slice(0, 6), rows: shown,
      });
    }
    draw();
  }

  // A product of a replay with its verdict, and its greatest errors where it was measured by value.
  function product(item) {
    const measured = item.greatest_absolute_error === null ? "" :
      ` (at most absolute ${words(item.greatest_absolute_error)}, relative ${words(item.greatest_relative_error)}, ${words(item.greatest_distance_in_ULP)} ULP)`;
    return `${item.product}: ${item.verdict}${measured}`;
  }

  Report.views.set("replays", {
    title: "Replays",
    async show(main) {
      const { replays } = await Report.load("results");
      filtered(main, "Filter replays", {
        caption: "Replays and their verdicts", rows: replays, empty: "No run of this report has been executed again.",
        columns: [
          { key: "original_name", label: "run", header: true, cell: (row) => run(row.original_run, row.original_name) },
          { key: "asset", label: "asset" },
          { key: "verdict", label: "verdict", cell: (row) => element("span", { class: `state ${row.verdict}` }, row.verdict) },
          { key: "reason", label: "reason" },
          { key: "tolerance", label: "tolerance" },
          { key: "products", label: "products", fixed: true, cell: (row) => row.products.map(product).join(", ") },
          { key: "differences", label: "settings that differ", cell: (row) => (row.differences?.length === 0 ? "" : words(row.differences)) },
          number("seconds"),
          { key: "time", label: "time", kind: "time" },
          { key: "replay_run", label: "execution", cell: (row) => run(row.replay_run) },
        ],
      });
    },
  });
})();
