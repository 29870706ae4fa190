// Similarity, main axes and an order of vectors, which are Float32Arrays of unit length.
"use strict";

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** The two main axes of centred rows, by power iteration, and where rows lie on them. */
function mainAxes(rows) {
  const size = rows[0].length;
  const mean = new Float64Array(size);
  for (const row of rows) row.forEach((value, i) => (mean[i] += value / rows.length));
  const centre = (row) => Float64Array.from(row, (value, i) => value - mean[i]);
  const centred = rows.map(centre);
  const axes = [];
  for (let number = 0; number < 2; number++) {
    let axis = Float64Array.from({ length: size }, (_, i) => Math.sin(1 + i * (number + 1)));
    for (let step = 0; step < 60; step++) {
      const next = new Float64Array(size);
      for (const row of centred) {
        const weight = dot(row, axis);
        for (let i = 0; i < size; i++) next[i] += weight * row[i];
      }
      for (const known of axes) {
        const share = dot(next, known);
        for (let i = 0; i < size; i++) next[i] -= share * known[i];
      }
      const length = Math.sqrt(dot(next, next));
      if (length < 1e-12) break; // fewer lines than directions: any axis will do
      axis = next.map((value) => value / length);
    }
    axes.push(axis);
  }
  return (row) => axes.map((axis) => dot(centre(row), axis));
}

/** An order in which each line is followed by the one most like it of those left. */
function chain(rows) {
  const left = rows.map((_, i) => i);
  const order = left.splice(0, 1);
  while (left.length) {
    const last = rows[order[order.length - 1]];
    let best = 0;
    for (let i = 1; i < left.length; i++) {
      if (dot(last, rows[left[i]]) > dot(last, rows[left[best]])) best = i;
    }
    order.push(...left.splice(best, 1));
  }
  return order;
}

/** The similarities of rows with each other: row i's with row j at i * rows.length + j. */
function allPairs(rows) {
  const table = new Float32Array(rows.length * rows.length);
  rows.forEach((a, i) => {
    for (let j = i; j < rows.length; j++) {
      table[i * rows.length + j] = table[j * rows.length + i] = dot(a, rows[j]);
    }
  });
  return table;
}
