// Radar chart and map.
const SVG = 'http://www.w3.org/2000/svg';
const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]]; // viridis at five places

export function colour(score) {
  const at = Math.min(1, Math.max(0, score)) * (RAMP.length - 1), low = Math.min(RAMP.length - 2, Math.floor(at));
  return RAMP[low].map((value, i) => value + (at - low) * (RAMP[low + 1][i] - value));
}

export function ramp(canvas) {
  const context = canvas.getContext('2d');
  for (let x = 0; x < canvas.width; x++) {
    context.fillStyle = `rgb(${colour(x / (canvas.width - 1)).join(',')})`;
    context.fillRect(x, 0, 1, canvas.height);
  }
}

// The scores of places, each averaged with its eight neighbours; beyond the last whole place, its score goes on.
export function overlay(canvas, scores, rows, columns, cell, width, height) {
  canvas.width = width; canvas.height = height;
  const small = new OffscreenCanvas(columns + 1, rows + 1), pixels = new ImageData(columns + 1, rows + 1);
  const smooth = smoothed(scores, rows, columns);
  for (let row = 0; row <= rows; row++)
    for (let column = 0; column <= columns; column++) {
      const score = smooth[Math.min(row, rows - 1) * columns + Math.min(column, columns - 1)];
      pixels.data.set([...colour(score), 255], 4 * (row * (columns + 1) + column));
    }
  small.getContext('2d').putImageData(pixels, 0, 0);
  const context = canvas.getContext('2d');
  context.globalAlpha = 0.6;
  context.imageSmoothingQuality = 'high';
  context.drawImage(small, 0, 0, (columns + 1) * cell, (rows + 1) * cell);
  return smooth;
}

function smoothed(scores, rows, columns) {
  return Array.from(scores, (_, i) => {
    const row = Math.floor(i / columns), column = i % columns;
    let sum = 0, count = 0;
    for (let r = Math.max(0, row - 1); r <= Math.min(rows - 1, row + 1); r++)
      for (let c = Math.max(0, column - 1); c <= Math.min(columns - 1, column + 1); c++) { sum += scores[r * columns + c]; count++; }
    return sum / count;
  });
}

// One axis a question; two questions or one are bars on the same chart.
export function radar(names, was, now) {
  const svg = node('svg', { viewBox: '-24 0 408 280', role: 'img' });
  svg.setAttribute('aria-label', names.map((name, i) => `${name} ${now[i].toFixed(2)}`).join(', '));
  const point = (i, share) => {
    const angle = (2 * Math.PI * i) / names.length - Math.PI / 2;
    return [180 + 100 * share * Math.cos(angle), 142 + 100 * share * Math.sin(angle)];
  };
  const shape = (scores) => scores.map((score, i) => point(i, score).join(',')).join(' ');
  for (const share of [0.25, 0.5, 0.75, 1]) svg.append(node('circle', { class: 'grid', cx: 180, cy: 142, r: 100 * share }));
  names.forEach((name, i) => {
    const [x, y] = point(i, 1), [tx, ty] = point(i, 1.14);
    svg.append(node('line', { class: 'grid', x1: 180, y1: 142, x2: x, y2: y }));
    const text = node('text', { x: tx, y: ty + 4, 'text-anchor': Math.abs(tx - 180) < 12 ? 'middle' : tx > 180 ? 'start' : 'end' });
    text.textContent = name;
    svg.append(text);
  });
  if (was) svg.append(node('polygon', { class: 'was', points: shape(was) }));
  svg.append(node('polygon', { class: 'now', points: names.length > 2 ? shape(now) : `180,142 ${shape(now)}` }));
  return svg;
}

function node(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
