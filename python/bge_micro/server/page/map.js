// The map: lines as points, on the two axes along which they differ most.
"use strict";

function svg(name, attributes, parent) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return parent.appendChild(element);
}

function showMap() {
  const map = $("map");
  map.replaceChildren();
  state.places = [];
  const rows = rowsOf();
  if (!rows.length) return ($("map-point").textContent = "");
  const place = mainAxes(rows);
  const points = rows.map(place);
  const query = state.query && vectors.get(state.query);
  const all = query ? [...points, place(query)] : points;
  const { width, height } = map.getBoundingClientRect();
  map.setAttribute("viewBox", `0 0 ${width} ${height}`);
  // One scale for both directions, so that distances mean something; the points in the middle.
  const ends = [0, 1].map((i) => all.map((point) => point[i])).map((v) => [Math.min(...v), Math.max(...v)]);
  const reach = Math.max(...ends.map(([low, high]) => high - low), 1e-6);
  const scale = (Math.min(width, height) - 64) / reach;
  const at = ([x, y]) => [
    width / 2 + (x - (ends[0][0] + ends[0][1]) / 2) * scale,
    height / 2 - (y - (ends[1][0] + ends[1][1]) / 2) * scale,
  ];
  const [middle, level] = at([0, 0]);
  svg("line", { class: "axis", x1: middle, y1: 0, x2: middle, y2: height }, map);
  svg("line", { class: "axis", x1: 0, y1: level, x2: width, y2: level }, map);
  state.places = points.map(at);
  const taken = state.places.map(([x, y]) => [x - 7, y - 7, x + 7, y + 7]);

  if (query) {
    const [x, y] = at(place(query));
    taken.push([x - 9, y - 9, x + 9, y + 9]);
    const best = rows.reduce((top, row, i) => (dot(row, query) > dot(rows[top], query) ? i : top), 0);
    const [x2, y2] = state.places[best];
    svg("line", { class: "thread", x1: x, y1: y, x2, y2 }, map);
  }
  const labelled = [state.chosen, ...points.keys()].filter((i, n, list) => list.indexOf(i) === n);
  // What is chosen and what is searched for come last, above the others.
  for (const i of [...points.keys()].filter((i) => i !== state.chosen).concat(state.chosen)) {
    const [x, y] = state.places[i];
    const classes = i === state.chosen ? "point chosen" : "point";
    const circle = svg("circle", { class: classes, cx: x, cy: y, r: i === state.chosen ? 8 : 6 }, map);
    circle.dataset.line = i;
  }
  if (query) {
    const [x, y] = at(place(query));
    svg("path", { class: "query", d: `M${x} ${y - 8}l8 8l-8 8l-8-8z` }, map);
  }
  for (const i of labelled) placeLabel(map, i, taken, width, height);
  const near = rows
    .map((row, i) => [dot(row, rows[state.chosen]), i])
    .filter(([, i]) => i !== state.chosen)
    .sort((a, b) => b[0] - a[0])[0];
  $("map-point").textContent = `Line ${named(state.chosen)}`
    + (near ? `; most like it: line ${named(near[1])}, ${near[0].toFixed(3)}` : "");
}

/** Write a point's text beside it where nothing else is; leave it out if there is no such place. */
function placeLabel(map, i, taken, width, height) {
  const [x, y] = state.places[i];
  const gap = i === state.chosen ? 14 : 11;
  const label = svg("text", {}, map);
  for (const most of [38, 26, 16]) {
    label.textContent = short(state.lines[i], most);
    const wide = label.getComputedTextLength();
    const spots = [[x + gap, y + 4], [x - gap - wide, y + 4], [x - wide / 2, y - gap - 1], [x - wide / 2, y + gap + 10]];
    for (const [left, base] of spots) {
      const box = [left, base - 11, left + wide, base + 4];
      const inside = box[0] >= 4 && box[1] >= 2 && box[2] <= width - 4 && box[3] <= height - 2;
      const free = taken.every((b) => b[0] > box[2] || b[2] < box[0] || b[1] > box[3] || b[3] < box[1]);
      if (inside && free) {
        taken.push(box);
        label.setAttribute("x", left);
        label.setAttribute("y", base);
        return;
      }
    }
  }
  label.remove();
}

/** Choose the next point to the left or right, or up or down: so every point can be reached. */
function movePoint(event) {
  const step = ARROWS[event.key];
  if (!step || !state.lines.length) return;
  event.preventDefault();
  const along = step[0] ? 0 : 1;
  const order = state.places.map((_, i) => i);
  order.sort((a, b) => state.places[a][along] - state.places[b][along]);
  const next = order.indexOf(state.chosen) + step[along];
  choose(order[Math.min(Math.max(next, 0), order.length - 1)]);
}
