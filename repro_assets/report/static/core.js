"use strict";
// Data arrives by scripts, for a page from the disk may not fetch. Text of records becomes text nodes, never markup.
const Report = (() => {
  const received = new Map();
  const waiting = new Map();

  function receive(name, value) {
    received.set(name, value);
  }

  // Resolves to the data of data/NAME.js; null where there is no such file. `fresh` reads it again.
  function load(name, fresh = false) {
    if (!fresh && received.has(name)) return Promise.resolve(received.get(name));
    if (waiting.has(name)) return waiting.get(name);
    const promise = new Promise((resolve) => {
      const script = document.createElement("script");
      const done = (value) => {
        script.remove();
        waiting.delete(name);
        resolve(value);
      };
      script.onload = () => done(received.get(name) ?? null);
      script.onerror = () => done(null);
      script.src = `${document.body.dataset.root}data/${name}.js${fresh ? `?${Date.now()}` : ""}`;
      document.head.append(script);
    });
    waiting.set(name, promise);
    return promise;
  }

  const ARRAYS = { i4: Int32Array, f4: Float32Array, f8: Float64Array };

  function decode(column) {
    const text = atob(column.data);
    const bytes = new Uint8Array(text.length);
    for (let place = 0; place < text.length; place += 1) bytes[place] = text.charCodeAt(place);
    return new ARRAYS[column.type](bytes.buffer);
  }

  // element("a", {href: "x", class: "y", onclick: f}, "text", node, …)
  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === undefined || value === null || value === false) continue;
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (name in made && name !== "list" && typeof value !== "string") made[name] = value;
      else made.setAttribute(name, value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }

  function number(value) {
    if (Number.isInteger(value)) return String(value);
    if (!Number.isFinite(value)) return String(value);
    return String(Number(value.toPrecision(6)));
  }

  // A value of a record as a person reads it.
  function words(value, kind) {
    if (value === null || value === undefined) return "";
    if (kind === "time") return String(value).replace("T", " ").replace(/\.\d+.*$|\+00:00$/, "");
    if (typeof value === "number") return number(value);
    if (typeof value === "boolean") return value ? "yes" : "no";
    if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value.join(", ");
    if (typeof value === "object") return JSON.stringify(value);
    return String(value);
  }

  function size(bytes) {
    if (bytes === null || bytes === undefined) return "";
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let amount = bytes;
    let unit = 0;
    for (; amount >= 1024 && unit < units.length - 1; unit += 1) amount /= 1024;
    return unit === 0 ? `${bytes} B` : `${amount.toFixed(1)} ${units[unit]}`;
  }

  function short(digest) {
    return String(digest ?? "").replace("sha256:", "").slice(0, 12);
  }

  // A control with its label: labelled("Metric", select)
  let controls = 0;
  function labelled(label, control, after = null) {
    controls += 1;
    control.id ||= `control-${controls}`;
    return element("span", { class: "control" }, element("label", { for: control.id }, label), control, after);
  }

  function select(options, value, onchange) {
    const made = element("select", { onchange: () => onchange(made.value) });
    for (const [key, label] of options) made.append(element("option", { value: key }, label));
    made.value = value;
    return made;
  }

  function tick(value, onchange) {
    const made = element("input", { type: "checkbox", checked: value, onchange: () => onchange(made.checked) });
    return made;
  }

  let quiet;
  function say(text) {
    const notice = document.getElementById("notice");
    clearTimeout(quiet);
    notice.textContent = text;
    quiet = setTimeout(() => (notice.textContent = ""), 8000);
  }

  // Calls `changed` whenever the report has been written again; only reports that are being written have it.
  function watch(changed) {
    if (document.body.dataset.watched !== "yes") return;
    let seen = null;
    const look = async () => {
      const stamp = await load("stamp", true);
      if (stamp !== null && seen !== null && stamp.revision !== seen) await changed();
      if (stamp !== null) seen = stamp.revision;
      setTimeout(look, 2000);
    };
    look();
  }

  const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

  return { receive, load, decode, element, words, size, short, labelled, select, tick, say, watch, plain, views: new Map() };
})();
