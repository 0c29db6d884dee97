"use strict";
// Metric curves of many runs, with a reading of their machines on the same axis.
Report.views.set("curves", {
  title: "Curves",
  state: { metric: null, x: "step", logy: false, logx: false, smooth: 0, lines: "runs", most: 50, reading: "" },
  show(main) {
    const { element, labelled, select, tick, selection, series, plain } = Report;
    const { data } = selection;
    const { state } = this;
    if (!data.curves.length) {
      main.append(element("p", {}, "No run has logged a metric."));
      return null;
    }
    const many = data.curves.reduce((best, item) => (item.lines > best.lines ? item : best));
    if (!data.curves.some((item) => item.name === state.metric)) state.metric = many.name;
    const figure = Report.figure("Metric curves");
    const change = (name) => (value) => {
      state[name] = value;
      draw();
    };
    const weight = element("output", {}, String(state.smooth));
    const slider = element("input", {
      type: "range", min: "0", max: "0.99", step: "0.01", value: String(state.smooth),
      oninput: () => {
        state.smooth = Number(slider.value);
        weight.textContent = slider.value;
        draw();
      },
    });
    const most = element("input", {
      type: "number", min: "1", max: "1000", value: String(state.most),
      onchange: () => {
        state.most = Math.max(1, Number(most.value) || 1);
        draw();
      },
    });
    const names = (list) => list.map((item) => [item.name, `${item.name} (${item.runs})`]);
    main.append(
      element("div", { class: "controls" },
        labelled("Metric", select(names(data.curves), state.metric, change("metric"))),
        labelled("Along", select([["step", "step"], ["since", "seconds since the start"], ["time", "time of day"]], state.x, change("x"))),
        labelled("Lines", select([["runs", "one for each run"], ["seeds", "mean over seeds, with its spread"]], state.lines, change("lines"))),
        labelled("Smoothing", slider, weight),
        labelled("Log values", tick(state.logy, change("logy"))),
        labelled("Log axis", tick(state.logx, change("logx"))),
        labelled("At most", most),
        labelled("Machine", select([["", "nothing"], ...names(data.system)], state.reading, change("reading"))),
      ),
      figure.node,
    );

    async function curves(list, name, fresh) {
      const item = list.find((one) => one.name === name);
      const found = item ? await Report.load(item.file, fresh) : null;
      return new Map((found ?? []).map((curve) => [curve.run, curve]));
    }

    function line(curve, row) {
      const value = Report.decode(curve.value);
      const since = Report.decode(curve.since);
      let x;
      if (state.x === "step") x = Report.decode(curve.step);
      else if (state.x === "since") x = Array.from(since, (milliseconds) => milliseconds / 1000);
      else {
        const start = Date.parse(selection.value(row, "run/started") ?? "");
        x = Array.from(since, (milliseconds) => start + milliseconds);
      }
      return { x, y: series.smooth(value, state.smooth), total: curve.total };
    }

    const places = (xs) => (state.x === "time" ? Array.from(xs, (x) => (Number.isFinite(x) ? new Date(x) : null)) : series.drawable(xs));

    function single(rows, found, axis, traces, table) {
      rows.forEach((row, place) => {
        const { x, y, total } = line(found.get(row.id), row);
        const name = selection.named(row);
        traces.push({
          x: places(x), y: series.drawable(y), yaxis: axis, name: plain(name), mode: y.length > 1 ? "lines" : "markers",
          line: Report.line(place), marker: { color: Report.line(place).color }, connectgaps: false,
          legendgroup: row.id, showlegend: axis === "y",
          hovertemplate: "%{x}, %{y}<extra>%{fullData.name}</extra>",
        });
        table.push(series.summary(axis === "y" ? name : `${name}: ${state.reading}`, x, y, total));
      });
    }

    function seeds(rows, found, axis, traces, table) {
      const groups = new Map();
      for (const row of rows) {
        const group = selection.value(row, "run/group") ?? selection.name(row);
        groups.set(group, [...(groups.get(group) ?? []), row]);
      }
      let place = 0;
      for (const [group, members] of groups) {
        const lines = members.map((row) => line(found.get(row.id), row));
        const { x, mean, spread, n } = series.band(lines.map(({ x: xs, y }) => series.clean(xs, y)));
        const shape = Report.line(place);
        const low = mean.map((value, at) => value - spread[at]);
        const high = mean.map((value, at) => value + spread[at]);
        const about = { x: places(x), yaxis: axis, legendgroup: group, hoverinfo: "skip" };
        const bare = { ...about, mode: "lines", line: { width: 0 }, showlegend: false };
        traces.push({ ...bare, y: low }, { ...bare, y: high, fill: "tonexty", fillcolor: Report.shade(place, 0.2) });
        traces.push({
          ...about, y: mean, name: plain(`${group} (${members.length})`), mode: x.length > 1 ? "lines" : "markers",
          line: shape, marker: { color: shape.color }, showlegend: axis === "y", text: n.map((count) => `n = ${count}`),
          hoverinfo: "all", hovertemplate: "%{x}, %{y}, %{text}<extra>%{fullData.name}</extra>",
        });
        const total = lines.reduce((sum, one) => sum + one.total, 0);
        table.push(series.summary(`${group}: mean over ${members.length}`, x, mean, total));
        place += 1;
      }
    }

    let turn = 0;
    async function draw(fresh = false) {
      turn += 1;
      const mine = turn;
      const found = await curves(data.curves, state.metric, fresh);
      const system = state.reading ? await curves(data.system, state.reading, fresh) : new Map();
      if (mine !== turn) return;
      const all = selection.selected().filter((row) => found.has(row.id));
      // A replay is no further sample.
      const original = (row) => selection.value(row, "run/replay of") === null;
      const rows = state.lines === "seeds" ? all.filter(original) : all.slice(0, state.most);
      const traces = [];
      const table = [];
      const make = state.lines === "seeds" ? seeds : single;
      make(rows, found, "y", traces, table);
      make(rows.filter((row) => system.has(row.id)), system, "y2", traces, table);
      const along = { step: "step", since: "seconds since the start", time: "time (UTC)" }[state.x];
      const layout = {
        xaxis: { title: Report.title(along), type: state.x === "time" ? "date" : state.logx ? "log" : "linear", anchor: state.reading ? "y2" : "y" },
        yaxis: { title: Report.title(state.metric), type: state.logy ? "log" : "linear", domain: state.reading ? [0.36, 1] : [0, 1] },
        height: state.reading ? 620 : 460,
      };
      if (state.reading) layout.yaxis2 = { title: Report.title(state.reading), domain: [0, 0.3] };
      if (table.length > 12) layout.showlegend = false;
      const thinned = rows.some((row) => found.get(row.id).total > Report.decode(found.get(row.id).value).length);
      const left = state.lines === "seeds" ? 0 : all.length - rows.length;
      const nowhere = table.filter((line) => line.nowhere).length;
      await figure.update({
        traces, layout, columns: series.columns, rows: table,
        label: `${state.metric} along ${along}, ${table.length} lines; the numbers are in the table below`,
        note: `${state.metric} of ${selection.describe()}, ${all.length} of which have it` +
          `${left ? `; the first ${rows.length} in the order of the table are drawn` : ""}` +
          `${state.lines === "seeds" ? "; mean over runs that differ in the seed alone, replays left out, and one standard deviation" : ""}` +
          `${nowhere ? `; ${nowhere} lines have no steps and show along time only` : ""}` +
          `${thinned ? "; thinned for the screen, extremes kept: the page of a run has every point" : ""}.`,
      });
    }

    draw();
    return () => draw(true);
  },
});
