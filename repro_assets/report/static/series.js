"use strict";
// Numbers of curves: smoothing, common places, means over runs, and fewer points for the screen.
Report.series = (() => {
  // Exponential moving average, corrected for its start; what is not finite is a gap and does not count.
  function smooth(values, weight) {
    if (weight <= 0) return Array.from(values);
    let sum = 0;
    let mass = 0;
    return Array.from(values, (value) => {
      if (!Number.isFinite(value)) return value;
      sum = weight * sum + (1 - weight) * value;
      mass = weight * mass + (1 - weight);
      return sum / mass;
    });
  }

  // Points with a place and a finite value, in the order of the places.
  function clean(xs, ys) {
    const points = [];
    for (let place = 0; place < xs.length; place += 1) {
      if (Number.isFinite(xs[place]) && Number.isFinite(ys[place])) points.push([xs[place], ys[place]]);
    }
    return points.sort((one, other) => one[0] - other[0]);
  }

  function at(points, x) {
    let low = 0;
    let high = points.length - 1;
    if (high < 0 || x < points[0][0] || x > points[high][0]) return NaN;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (points[middle][0] <= x) low = middle;
      else high = middle;
    }
    const [x0, y0] = points[low];
    const [x1, y1] = points[high];
    if (x === x1 || x1 === x0) return x === x1 ? y1 : y0;
    return y0 + ((y1 - y0) * (x - x0)) / (x1 - x0);
  }

  const same = (lines) =>
    lines.every((line) => line.length === lines[0].length && line.every(([x], place) => x === lines[0][place][0]));

  // Mean and sample standard deviation over lines, at their own places if these are equal, else at 200 between them.
  function band(lines) {
    const some = lines.filter((line) => line.length);
    if (!some.length) return { x: [], mean: [], spread: [], n: [], exact: true };
    const exact = same(some);
    let xs;
    if (exact) {
      xs = some[0].map(([x]) => x);
    } else {
      const first = Math.min(...some.map((line) => line[0][0]));
      const last = Math.max(...some.map((line) => line[line.length - 1][0]));
      xs = Array.from({ length: 200 }, (_, place) => first + ((last - first) * place) / 199);
    }
    const made = { x: xs, mean: [], spread: [], n: [], exact };
    xs.forEach((x, place) => {
      const values = exact ? some.map((line) => line[place][1]) : some.map((line) => at(line, x)).filter(Number.isFinite);
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
      made.mean.push(values.length ? mean : NaN);
      made.spread.push(values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0);
      made.n.push(values.length);
    });
    return made;
  }

  // Of each stretch the smallest, the greatest and one that is not finite, within the places from `low` to `high`.
  function thin(xs, ys, most, low = -Infinity, high = Infinity) {
    const inside = [];
    for (let place = 0; place < xs.length; place += 1) if (!(xs[place] < low || xs[place] > high)) inside.push(place);
    if (inside.length <= most) return inside;
    const kept = new Set([inside[0], inside[inside.length - 1]]);
    const stretch = Math.ceil(inside.length / Math.max(1, Math.floor(most / 2)));
    for (let start = 0; start < inside.length; start += stretch) {
      let least = -1;
      let greatest = -1;
      for (const place of inside.slice(start, start + stretch)) {
        if (!Number.isFinite(ys[place])) kept.add(place);
        else {
          if (least < 0 || ys[place] < ys[least]) least = place;
          if (greatest < 0 || ys[place] > ys[greatest]) greatest = place;
        }
      }
      if (least >= 0) kept.add(least).add(greatest);
    }
    return [...kept].sort((one, other) => one - other);
  }

  // What a table says of a line.
  function summary(name, xs, ys, total) {
    const finite = Array.from(ys).filter(Number.isFinite);
    const last = ys.length ? ys[ys.length - 1] : null;
    return {
      name, points: total, last,
      smallest: finite.length ? finite.reduce((one, other) => Math.min(one, other)) : null,
      greatest: finite.length ? finite.reduce((one, other) => Math.max(one, other)) : null,
      odd: ys.length - finite.length || null,
      first: finite.length ? finite[0] : null,
      nowhere: !Array.from(xs).some(Number.isFinite),
    };
  }

  const columns = [
    { key: "name", label: "curve", header: true },
    { key: "points", label: "points", kind: "number" },
    { key: "first", label: "first", kind: "number" },
    { key: "last", label: "last", kind: "number" },
    { key: "smallest", label: "smallest", kind: "number" },
    { key: "greatest", label: "greatest", kind: "number" },
    { key: "odd", label: "NaN or infinite, of those drawn", kind: "number" },
  ];

  // Plotting libraries leave out what is not finite: a gap in the line.
  const drawable = (values) => Array.from(values, (value) => (Number.isFinite(value) ? value : null));

  return { smooth, clean, band, thin, summary, columns, drawable };
})();
