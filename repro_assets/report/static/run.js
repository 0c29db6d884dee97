"use strict";
// The curves of one run: every point of them is here, and as many as the screen can show are drawn, again at each zoom.
(async () => {
  const { element, labelled, select, tick, series, plain } = Report;
  const place = document.getElementById("curves");
  const name = `runs/${document.body.dataset.file}`;
  const MOST = 1500;
  const state = { x: "step", logy: false, smooth: 0, readings: null };
  let details = await Report.load(name);
  if (!details || !(details.curves.length || details.system.length)) return;
  const read = (curve) => ({ name: curve.name, total: curve.total, step: Report.decode(curve.step), value: Report.decode(curve.value), time: Report.decode(curve.time) });
  let curves;
  let system;
  const take = () => {
    curves = details.curves.map(read);
    system = details.system.map(read);
  };
  take();
  if (curves.every((curve) => curve.step.every((step) => Number.isNaN(step)))) state.x = "since";

  const figures = new Map();
  const tail = (curve) => curve.name.slice(curve.name.lastIndexOf("/") + 1);
  const start = () => details.started ?? Math.min(...[...curves, ...system].map((curve) => curve.time[0]));
  const along = (curve) => (state.x === "step" ? curve.step : Float64Array.from(curve.time, (time) => time - start()));

  function groups() {
    const found = new Map();
    for (const curve of curves) found.set(tail(curve), [...(found.get(tail(curve)) ?? []), curve]);
    const shown = system.filter((curve) => state.readings.has(curve.name));
    for (const curve of shown) found.set(`machine: ${curve.name}`, [curve]);
    return found;
  }

  function trace(curve, at, range) {
    const x = along(curve);
    const y = series.smooth(curve.value, state.smooth);
    const kept = series.thin(x, y, MOST, ...range);
    return {
      x: series.drawable(kept.map((point) => x[point])), y: series.drawable(kept.map((point) => y[point])), name: plain(curve.name),
      mode: kept.length > 1 ? "lines" : "markers", line: Report.line(at), marker: { color: Report.line(at).color },
      hovertemplate: "%{x}, %{y}<extra>%{fullData.name}</extra>",
    };
  }

  let zoom = [-Infinity, Infinity];
  async function draw() {
    const wanted = groups();
    for (const [title, figure] of figures) {
      if (!wanted.has(title)) {
        figure.node.remove();
        figures.delete(title);
      }
    }
    for (const title of wanted.keys()) {
      if (figures.has(title)) continue;
      figures.set(title, Report.figure(title));
      panels.append(figures.get(title).node);
    }
    for (const [title, list] of wanted) {
      const drawable = list.filter((curve) => along(curve).some(Number.isFinite));
      const total = list.reduce((sum, curve) => sum + curve.total, 0);
      const xaxis = { title: Report.title(state.x === "step" ? "step" : "seconds since the start") };
      if (Number.isFinite(zoom[0])) xaxis.range = zoom;
      const figure = figures.get(title);
      await figure.update({
        traces: drawable.map((curve, at) => trace(curve, at, zoom)),
        layout: {
          height: 320, xaxis, yaxis: { type: state.logy ? "log" : "linear" },
          shapes: state.x === "step" ? details.events.map(([step]) => ({ type: "line", x0: step, x1: step, yref: "paper", y0: 0, y1: 1, line: { dash: "dot", width: 1, color: "#8a8a8a" } })) : [],
        },
        label: `${title} along ${xaxis.title.text}; the numbers are in the table below`,
        note: `${title}, ${total} points${drawable.length < list.length ? "; what has no step is shown along time" : ""}`,
        columns: series.columns, rows: list.map((curve) => series.summary(curve.name, curve.step, curve.value, curve.total)),
      });
      figure.plot.removeAllListeners("plotly_relayout");
      figure.plot.on("plotly_relayout", follow);
    }
  }

  // All figures have the same axis: zooming one zooms all, and thins again within what is seen.
  function follow(event) {
    if (event["xaxis.autorange"]) zoom = [-Infinity, Infinity];
    else if ("xaxis.range[0]" in event) zoom = [Number(event["xaxis.range[0]"]), Number(event["xaxis.range[1]"])];
    else return;
    draw();
  }

  const change = (key) => (value) => {
    state[key] = value;
    zoom = [-Infinity, Infinity];
    draw();
  };
  const usual = ["cpu_percent", "process_memory_bytes", "gpu0_utilization_percent"];
  state.readings = new Set(system.map((curve) => curve.name).filter((item) => usual.includes(item)));
  const chooser = element("details", { class: "chooser" }, element("summary", {}, "Readings of the machine"));
  const boxes = element("fieldset", {}, element("legend", {}, "readings"));
  for (const curve of system) {
    boxes.append(element("label", {}, tick(state.readings.has(curve.name), (on) => {
      state.readings[on ? "add" : "delete"](curve.name);
      draw();
    }), ` ${curve.name}`));
  }
  chooser.append(boxes);
  const weight = element("output", {}, "0");
  const slider = element("input", { type: "range", min: "0", max: "0.99", step: "0.01", value: "0", oninput: () => {
    weight.textContent = slider.value;
    state.smooth = Number(slider.value);
    draw();
  } });
  const panels = element("div", { class: "panels" });
  place.append(
    element("h2", {}, "Curves"),
    element("div", { class: "controls" },
      labelled("Along", select([["step", "step"], ["since", "seconds since the start"]], state.x, change("x"))),
      labelled("Log values", tick(false, change("logy"))),
      labelled("Smoothing", slider, weight)),
    ...(system.length ? [chooser] : []), panels,
  );
  place.hidden = false;
  await draw();
  place.dataset.ready = "yes";
  Report.watch(async () => {
    const newer = await Report.load(name, true);
    if (newer === null) return;
    details = newer;
    take();
    await draw();
    const notice = document.getElementById("notice");
    notice.replaceChildren("The report was written again. The curves are the newest; ",
      element("button", { type: "button", onclick: () => location.reload() }, "load the tables again"));
  });
})();
