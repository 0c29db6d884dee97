"use strict";
// Which artifact came from which run, drawn, and as a table; and the versions of artifacts.
Report.views.set("lineage", {
  title: "Lineage",
  state: { direction: "both", depth: 4 },
  show(main, query) {
    const { element, labelled, select } = Report;
    const { state } = this;
    const MOST = 300;
    const SVG = "http://www.w3.org/2000/svg";
    const place = element("div");
    const box = element("input", { type: "text", size: 40, list: "nodes", value: query.get("node") ?? "" });
    const names = element("datalist", { id: "nodes" });
    const go = () => (location.hash = `#/lineage?node=${encodeURIComponent(box.value.trim())}`);
    const depth = element("input", { type: "number", min: "1", max: "99", value: String(state.depth),
      onchange: () => { state.depth = Math.max(1, Number(depth.value) || 1); draw(); } });
    main.append(
      element("form", { class: "controls", onsubmit: (event) => { event.preventDefault(); go(); } },
        labelled("Artifact or run", box, names),
        labelled("Direction", select([["both", "both"], ["up", "what it came from"], ["down", "what came from it"]], state.direction,
          (value) => { state.direction = value; draw(); })),
        labelled("Steps", depth),
        element("button", { type: "submit" }, "Show"),
      ),
      place,
    );

    const svg = (tag, attributes, ...children) => {
      const made = document.createElementNS(SVG, tag);
      for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
      made.append(...children);
      return made;
    };
    const about = (key) => `#/lineage?node=${encodeURIComponent(key)}`;

    function find(graph, text) {
      const at = (test) => graph.nodes.findIndex(test);
      for (const test of [
        (node) => node.key === text,
        (node) => node.name === text,
        (node) => text.length >= 8 && (node.key.startsWith(text) || node.key.startsWith(`sha256:${text}`)),
      ]) {
        const found = at(test);
        if (found >= 0) return found;
      }
      return -1;
    }

    function reach(graph, root) {
      const distance = new Map([[root, 0]]);
      for (const [from, to, wanted] of [[1, 0, "down"], [0, 1, "up"]]) {
        if (state.direction === wanted) continue;
        const near = new Map();
        for (const edge of graph.edges) near.set(edge[from], [...(near.get(edge[from]) ?? []), edge[to]]);
        let front = [root];
        for (let step = 1; step <= state.depth && front.length; step += 1) {
          const next = [];
          for (const node of front) {
            for (const other of near.get(node) ?? []) {
              if (distance.has(other)) continue;
              distance.set(other, step);
              next.push(other);
            }
          }
          front = next;
        }
      }
      return distance;
    }

    async function draw() {
      const graph = await Report.load("lineage");
      names.replaceChildren(...graph.nodes.slice(-500).map((node) => element("option", { value: node.key }, node.name)));
      const asked = (query.get("node") ?? "").trim();
      let root = asked ? find(graph, asked) : -1;
      const notes = [];
      if (asked && root < 0) notes.push(`Nothing is called ${asked}.`);
      let chosen;
      if (root < 0 && graph.nodes.length > 80) {
        // The whole would be no picture: begin with the newest model, else the newest artifact.
        const last = (test) => graph.nodes.map(test).lastIndexOf(true);
        root = last((node) => node.kind === "artifact" && node.name.startsWith("model"));
        if (root < 0) root = last((node) => node.kind === "artifact");
        notes.push(`The store has ${graph.nodes.length} nodes; this is the part around ${graph.nodes[root].name}.`);
      }
      chosen = root < 0 ? new Map(graph.nodes.map((_, node) => [node, null])) : reach(graph, root);
      if (chosen.size > MOST) {
        notes.push(`The nearest ${MOST} of ${chosen.size} nodes are drawn.`);
        chosen = new Map([...chosen].sort((one, other) => (one[1] ?? 0) - (other[1] ?? 0)).slice(0, MOST));
      }
      const nodes = [...chosen.keys()];
      const where = new Map(nodes.map((node, at) => [node, at]));
      const edges = graph.edges.filter(([source, target]) => where.has(source) && where.has(target));
      place.replaceChildren(
        ...notes.map((note) => element("p", { role: "status" }, note)),
        picture(graph, nodes, where, edges, root),
        listing(graph, nodes, edges, chosen),
      );
    }

    function picture(graph, nodes, where, edges, root) {
      const { column, place: height, columns } = Report.layout(nodes.length, edges.map(([a, b]) => [where.get(a), where.get(b)]));
      const [WIDE, HIGH, STEP_X, STEP_Y] = [190, 34, 250, 48];
      const tallest = Math.max(1, ...columns.map((list) => list.length));
      const width = Math.max(1, columns.length) * STEP_X;
      const total = tallest * STEP_Y + 20;
      const x = (at) => 10 + column[at] * STEP_X;
      const y = (at) => total / 2 + height[at] * STEP_Y - HIGH / 2;
      const whole = svg("svg", { viewBox: `0 0 ${width} ${total}`, width: String(width), height: String(total), class: "lineage",
        role: "group", "aria-label": `Lineage graph of ${nodes.length} nodes; the table below says the same` });
      const arrow = svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: "8", refY: "4", markerWidth: "7", markerHeight: "7", orient: "auto" });
      arrow.append(svg("path", { d: "M0 0 L8 4 L0 8 z", class: "head" }));
      whole.append(svg("defs", {}, arrow));
      for (const [source, target] of edges) {
        const [a, b] = [where.get(source), where.get(target)];
        const [x1, y1, x2, y2] = [x(a) + WIDE, y(a) + HIGH / 2, x(b), y(b) + HIGH / 2];
        whole.append(svg("path", { class: "edge", d: `M${x1} ${y1} C${x1 + 30} ${y1} ${x2 - 30} ${y2} ${x2} ${y2}`, "marker-end": "url(#arrow)" }));
      }
      nodes.forEach((node, at) => {
        const { key, kind, name } = graph.nodes[node];
        const shown = name.length > 26 ? `${name.slice(0, 25)}…` : name;
        const link = svg("a", { href: about(key), class: `node ${kind}${node === root ? " root" : ""}`, "aria-label": `${kind} ${name}` });
        link.append(
          svg("title", {}, `${name}\n${key}`),
          svg("rect", { x: x(at), y: y(at), width: WIDE, height: HIGH, rx: kind === "run" ? HIGH / 2 : 4 }),
          svg("text", { x: x(at) + WIDE / 2, y: y(at) + HIGH / 2 + 4 }, shown),
        );
        whole.append(link);
      });
      return element("div", { class: "scroll picture", tabindex: "0", role: "region", "aria-label": "Lineage graph" }, whole);
    }

    function listing(graph, nodes, edges, chosen) {
      const ends = (node, from, to) => edges.filter((edge) => edge[from] === node)
        .map((edge) => [graph.nodes[edge[to]], edge[3]]);
      const links = (list) => element("span", {}, ...list.flatMap(([node, slot], at) => [
        at ? ", " : "", element("a", { href: about(node.key) }, node.name), slot ? ` (${slot})` : "",
      ]));
      const rows = nodes.map((node) => ({ ...graph.nodes[node], steps: chosen.get(node), from: ends(node, 1, 0), to: ends(node, 0, 1) }));
      return Report.table({
        caption: "Lineage",
        columns: [
          { key: "steps", label: "steps away", kind: "number", better: "low" },
          { key: "kind", label: "kind" },
          { key: "name", label: "name", header: true, cell: (row) => row.page ? element("a", { href: row.page }, row.name) : row.name },
          { key: "from", label: "came from", fixed: true, cell: (row) => links(row.from) },
          { key: "to", label: "went into", fixed: true, cell: (row) => links(row.to) },
          { key: "facts", label: "facts", fixed: true, cell: (row) => row.facts.map(([name, value]) => `${name} ${Report.words(value)}`).join(", ") },
          { key: "key", label: "id" },
        ],
        rows, sort: { key: "steps", down: false },
      }).node;
    }

    draw();
    return null;
  },
});
