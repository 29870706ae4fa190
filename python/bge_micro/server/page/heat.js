// The heat map: the similarity of each line with each, on a canvas.
"use strict";

const heat = {
  picture: null, // the cells without marks, as a canvas; null if they have to be painted anew
  labels: 0, // width of what is left of the cells
  top: 20, // height of what is above them
  bottom: 6, // height below them: the last number is higher than a small cell
  cell: 0, // size of a cell
  under: null, // the cell under the pointer, as [row, column]
};
const MOST_WITH_TEXT = 40; // lines beside which there is room for their text

function rampColours() {
  const text = getComputedStyle(document.documentElement).getPropertyValue("--ramp");
  return text.split(",").map((colour) =>
    [1, 3, 5].map((at) => parseInt(colour.trim().slice(at, at + 2), 16)));
}

function colourAt(ramp, share) {
  const place = Math.min(Math.max(share, 0), 1) * (ramp.length - 1);
  const low = Math.min(Math.floor(place), ramp.length - 2);
  return ramp[low].map((value, i) => Math.round(value + (place - low) * (ramp[low + 1][i] - value)));
}

const similarity = (i, j) => state.similar[i * state.lines.length + j];

/** Paint the cells, as large as the page has room for. */
function paintCells() {
  const count = state.order.length;
  const width = $("heat").clientWidth;
  heat.labels = width > 430 && count <= MOST_WITH_TEXT ? Math.round(width * 0.33) : 32;
  heat.cell = (width - heat.labels) / Math.max(count, 1);
  const height = Math.max(Math.round(heat.cell * count) + heat.top + heat.bottom, 40);
  const scale = window.devicePixelRatio || 1;
  const picture = (heat.picture = document.createElement("canvas"));
  picture.width = Math.round(width * scale);
  picture.height = Math.round(height * scale);
  const draw = picture.getContext("2d");
  draw.scale(scale, scale);
  let low = 1;
  for (let i = 0; i < count; i++) for (let j = 0; j < i; j++) low = Math.min(low, similarity(i, j));
  if (count < 2) low = 0;
  $("low").textContent = low.toFixed(2);
  $("high").textContent = "1.00";

  const style = getComputedStyle(document.documentElement);
  const font = getComputedStyle(document.body).fontFamily;
  const ramp = rampColours();
  const { cell, labels, top } = heat;
  const gap = cell > 12 ? 1 : 0;
  state.order.forEach((a, row) => state.order.forEach((b, column) => {
    const value = similarity(a, b);
    const [r, g, blue] = colourAt(ramp, (value - low) / (1 - low || 1));
    const [x, y] = [labels + column * cell, top + row * cell];
    draw.fillStyle = `rgb(${r} ${g} ${blue})`;
    draw.fillRect(x, y, cell - gap, cell - gap);
    if (cell < 27) return;
    const bright = 0.3 * r + 0.6 * g + 0.1 * blue > 135;
    draw.fillStyle = style.getPropertyValue(bright ? "--on-light" : "--on-dark");
    draw.font = `${Math.min(12, cell * 0.36)}px ${font}`;
    draw.textAlign = "center";
    draw.textBaseline = "middle";
    const text = value.toFixed(2).replace(/^0/, "").replace("1.00", "1");
    draw.fillText(text, x + (cell - gap) / 2, y + (cell - gap) / 2);
  }));
}

/** Places of which each is so far from the others: the marked one, the first, and round ones. */
function spread(count, distance, marked) {
  const step = [1, 2, 5, 10, 20, 50, 100].find((size) => size >= distance) || count;
  const round = [...Array(count).keys()].filter((i) => (i + 1) % step === 0);
  const kept = [];
  for (const place of [marked, 0, ...round]) {
    if (kept.every((other) => Math.abs(other - place) >= distance)) kept.push(place);
  }
  return kept;
}

/** Write the lines' numbers, and their texts where there is room. */
function drawLabels(draw, style, [row, column]) {
  const font = getComputedStyle(document.body).fontFamily;
  const { cell, labels, top } = heat;
  const { order, lines } = state;
  const write = (text, x, y, align, marked) => {
    draw.fillStyle = style.getPropertyValue(marked ? "--mark" : "--soft");
    draw.font = `${marked ? 600 : 400} 12px ${font}`;
    draw.textAlign = align;
    draw.fillText(text, x, y);
  };
  draw.textBaseline = "middle";
  draw.font = `600 12px ${font}`;
  const wide = draw.measureText(order.length).width + 8;
  for (const i of spread(order.length, wide / cell, column)) {
    // The first and the last number would stick out where cells are narrow.
    const x = Math.min(labels + (i + 0.5) * cell, labels + order.length * cell - wide / 2 + 4);
    write(order[i] + 1, x, top / 2, "center", i === column);
  }
  for (const i of spread(order.length, 15 / cell, row)) {
    const y = top + (i + 0.5) * cell;
    write(order[i] + 1, labels - 6, y, "right", i === row);
    if (labels < 60) continue;
    const line = lines[order[i]];
    const room = labels - 36;
    let text = line;
    while (text.length > 1 && draw.measureText(`${text}…`).width > room) text = text.slice(0, -1);
    write(text.length < line.length ? `${text.trimEnd()}…` : text, 0, y, "left", i === row);
  }
}

function showHeat() {
  if (!heat.picture) paintCells();
  const canvas = $("heat");
  const scale = window.devicePixelRatio || 1;
  canvas.width = heat.picture.width;
  canvas.height = heat.picture.height;
  canvas.style.height = `${heat.picture.height / scale}px`;
  const draw = canvas.getContext("2d");
  draw.drawImage(heat.picture, 0, 0);
  if (!state.order.length) return ($("heat-cell").textContent = "");
  draw.scale(scale, scale);
  const style = getComputedStyle(document.documentElement);
  const [row, column] = heat.under || state.cell;
  drawLabels(draw, style, [row, column]);
  const { cell, labels, top } = heat;
  const gap = cell > 12 ? 1 : 0;
  draw.strokeStyle = style.getPropertyValue("--mark");
  draw.lineWidth = 1;
  if (!gap) draw.strokeRect(labels, top + row * cell, state.order.length * cell, cell);
  draw.lineWidth = 2;
  draw.strokeRect(labels + column * cell, top + row * cell, cell - gap, cell - gap);
  const [a, b] = [state.order[row], state.order[column]];
  $("heat-cell").textContent =
    `${similarity(a, b).toFixed(3)}: line ${named(a)} and line ${named(b)}`;
}

/** The cell at a pointer's place; left of the cells, the first of the row; null above and below. */
function cellAt(event) {
  const row = Math.floor((event.offsetY - heat.top) / heat.cell);
  const column = Math.floor((event.offsetX - heat.labels) / heat.cell);
  const last = state.lines.length - 1;
  if (row < 0 || row > last) return null;
  return [row, Math.min(Math.max(column, 0), last)];
}

function moveCell(event) {
  const step = ARROWS[event.key];
  if (!step || !state.lines.length) return;
  event.preventDefault();
  const last = state.lines.length - 1;
  const within = (i) => Math.min(Math.max(i, 0), last);
  heat.under = null;
  state.cell = [within(state.cell[0] + step[1]), within(state.cell[1] + step[0])];
  state.chosen = state.order[state.cell[0]];
  show();
}

function pointCell(event) {
  const cell = cellAt(event);
  if (!cell) return;
  state.cell = cell;
  state.chosen = state.order[cell[0]];
  show();
}

function hoverCell(event) {
  const cell = event.type === "pointerleave" || event.pointerType === "touch" ? null : cellAt(event);
  if (String(cell) === String(heat.under)) return;
  heat.under = cell;
  showHeat();
}
