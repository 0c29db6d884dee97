"use strict";
// Where the nodes of a graph go: columns by the longest way from a source, and few crossings within them.
Report.layout = (count, edges) => {
  const into = Array.from({ length: count }, () => []);
  const out = Array.from({ length: count }, () => []);
  for (const [source, target] of edges) {
    if (source === target) continue;
    out[source].push(target);
    into[target].push(source);
  }
  const column = new Array(count).fill(0);
  const left = into.map((list) => list.length);
  const seen = new Array(count).fill(false);
  const ready = left.flatMap((number, node) => (number === 0 ? [node] : []));
  for (let done = 0; done < count; done += 1) {
    // Of a cycle any node may be the first.
    const node = ready.length ? ready.shift() : seen.indexOf(false);
    if (seen[node]) {
      done -= 1;
      continue;
    }
    seen[node] = true;
    for (const target of out[node]) {
      if (seen[target]) continue;
      column[target] = Math.max(column[target], column[node] + 1);
      left[target] -= 1;
      if (left[target] === 0) ready.push(target);
    }
  }
  const columns = [];
  column.forEach((at, node) => (columns[at] ??= []).push(node));
  for (let at = 0; at < columns.length; at += 1) columns[at] ??= [];
  const place = new Array(count).fill(0);
  const number = () => columns.forEach((nodes) => nodes.forEach((node, at) => (place[node] = at - (nodes.length - 1) / 2)));
  number();
  for (let sweep = 0; sweep < 6; sweep += 1) {
    const near = sweep % 2 ? out : into;
    for (const nodes of columns) {
      const middle = new Map(nodes.map((node) => {
        const list = near[node];
        return [node, list.length ? list.reduce((sum, other) => sum + place[other], 0) / list.length : place[node]];
      }));
      nodes.sort((one, other) => middle.get(one) - middle.get(other));
    }
    number();
  }
  return { column, place, columns };
};
