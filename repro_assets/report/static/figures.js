"use strict";
// Figures of the plotting library: in the colours of the theme, with a label, a caption and the same numbers as a table.
(() => {
  const { element, plain } = Report;
  const COLOURS = ["#3b8ac4", "#d9662b", "#1f9e77", "#b565a7", "#c98f00", "#7a7adb", "#8a8a8a", "#c44e52"];
  const DASHES = ["solid", "dash", "dot", "dashdot"];
  const drawn = new Set();

  Report.line = (place) => ({
    color: COLOURS[place % COLOURS.length],
    dash: DASHES[Math.floor(place / COLOURS.length) % DASHES.length],
    width: 1.6,
  });

  Report.shade = (place, strength) => {
    const colour = COLOURS[place % COLOURS.length];
    const [red, green, blue] = [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
    return `rgba(${red},${green},${blue},${strength})`;
  };

  function themed(layout) {
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--ink").trim();
    const grid = style.getPropertyValue("--line").trim();
    const made = {
      margin: { l: 64, r: 16, t: 16, b: 48 },
      height: 420,
      hovermode: "closest",
      showlegend: true,
      legend: { orientation: "h", y: -0.18 },
      ...layout,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: ink, family: "system-ui, sans-serif", size: 12 },
    };
    for (const name of Object.keys(made)) {
      if (/^[xy]axis\d*$/.test(name)) {
        made[name] = { gridcolor: grid, zerolinecolor: grid, linecolor: grid, automargin: true, ...made[name] };
      }
    }
    return made;
  }

  // A figure that can be drawn again: update({traces, layout, label, note, columns, rows}).
  Report.figure = (title) => {
    const plot = element("div", { class: "plot", role: "img", "aria-label": title });
    const note = element("figcaption", {}, title);
    const save = element("button", { type: "button", onclick: () => download() }, "Save as SVG");
    const table = element("details", {}, element("summary", {}, "The figure as a table"));
    const node = element("figure", {}, note, plot, element("div", { class: "beside" }, save, table));
    let last = null;
    new ResizeObserver(() => {
      if (plot.dataset.drawn !== undefined && node.isConnected) Plotly.Plots.resize(plot);
    }).observe(plot);

    function download() {
      Plotly.downloadImage(plot, { format: "svg", filename: title.replaceAll(/[^\w-]+/g, "_"), width: 900, height: 500 });
    }

    async function draw() {
      if (last === null || !node.isConnected) return;
      plot.setAttribute("aria-label", last.label ?? title);
      note.textContent = last.note ?? title;
      await Plotly.react(plot, last.traces, themed(last.layout ?? {}), { displayModeBar: false });
      plot.dataset.drawn = String(last.traces.length);
    }

    async function update(wanted) {
      last = wanted;
      table.replaceChildren(
        element("summary", {}, "The figure as a table"),
        Report.table({ caption: title, columns: wanted.columns ?? [], rows: wanted.rows ?? [], page: 100 }).node,
      );
      await draw();
    }

    const figure = { node, plot, update, draw };
    drawn.add(figure);
    return figure;
  };

  document.addEventListener("themechange", () => {
    for (const figure of drawn) {
      if (figure.node.isConnected) figure.draw();
      else drawn.delete(figure);
    }
  });

  Report.title = (text) => ({ text: plain(text) });
})();
