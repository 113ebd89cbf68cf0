// The page: from a file to pixels, from sliders to questions, from answers to pictures.
import { overlay, radar, ramp } from './draw.js';

const SCORED = 2e6, TAKEN = 100e6, SMALLEST = 32; // pixels that are scored, pixels that are decoded, px on a side
const $ = (id) => document.getElementById(id);
const model = await (await fetch('model.json')).json(); // {names, texts, asked, cell, samples}
const sliders = ['blur', 'noise', 'dark'];

let worker, ready, limit = SCORED;
let file, shown, taken = 0; // the photo's file or blob, what was last scored, how many photos were chosen
let busy = 0, asked = 0, waiting = false; // question being worked on, last one, whether another waits
let first = 1, was; // the photo's first question, and what it was answered

start();
$('needs-server').hidden = true;
ramp($('ramp'));
model.names.forEach((name, i) => {
  const label = document.createElement('label'), box = document.createElement('input');
  Object.assign(box, { type: 'checkbox', checked: true, value: i, onchange: draw });
  label.append(box, name);
  $('questions').append(label);
  $('map-of').append(new Option(name, i));
});
$('map-of').prepend(new Option('nothing', ''));
$('map-of').value = '';
$('map-of').onchange = draw;
for (const { name, label } of model.samples) {
  const button = document.createElement('button'), image = new Image();
  Object.assign(image, { src: `samples/${name}`, alt: label });
  button.type = 'button';
  button.append(image);
  button.onclick = () => sample(name);
  $('samples').append(button);
}
for (const id of sliders) $(id).oninput = () => { say(); ask(); };
$('reset').onclick = () => { for (const id of sliders) $(id).value = 0; say(); ask(); };
$('file').onchange = () => $('file').files[0] && take($('file').files[0], $('file').files[0].name);
addEventListener('dragover', (event) => { event.preventDefault(); document.body.classList.add('over'); });
addEventListener('dragleave', () => document.body.classList.remove('over'));
addEventListener('drop', (event) => {
  event.preventDefault();
  document.body.classList.remove('over');
  const [dropped] = event.dataTransfer.files;
  if (dropped) take(dropped, dropped.name); else fail('Only files can be dropped here: drop a photo from a folder, or choose one.');
});
addEventListener('paste', (event) => {
  const [pasted] = event.clipboardData.files;
  if (pasted) take(pasted, 'the pasted picture');
});
say();
if (model.samples.length) sample(model.samples[0].name, true);

async function sample(name, onlyIfNone = false) {
  const blob = await (await fetch(`samples/${name}`)).blob();
  if (!(onlyIfNone && taken)) take(blob, name);
}

function start() {
  worker?.terminate();
  busy = 0;
  worker = new Worker('worker.js', { type: 'module' });
  ready = new Promise((resolve) => {
    worker.onmessage = ({ data: message }) => {
      if (message.kind === 'ready') { if (!file) $('status').textContent = 'Ready.'; resolve(); }
      else if (message.kind === 'scores') answered(message);
      else if (message.kind === 'failed') smaller(message.said);
      else fail(`The model could not be loaded (${message.said}): reload the page, or use a browser that runs WebAssembly.`);
    };
  });
}

async function take(chosen, name) {
  const turn = ++taken; // a photo that is chosen meanwhile takes its place
  $('error').hidden = true;
  $('status').textContent = `Reading ${name}…`;
  const address = URL.createObjectURL(chosen);
  try {
    const image = new Image();
    image.src = address;
    await new Promise((resolve, reject) => { image.onload = resolve; image.onerror = reject; }); // not decoded yet
    const cut = isTruncated(new Uint8Array(await chosen.arrayBuffer()));
    if (turn !== taken) return;
    if (cut) return fail(`${name} is truncated: the end of the image is missing. Choose the whole file.`);
    const width = image.naturalWidth, height = image.naturalHeight, size = `${width} × ${height}`;
    if (width * height > TAKEN)
      return fail(`${name} has ${mega(width * height)} megapixels (${size}), and this page takes up to ${TAKEN / 1e6}: shrink it first.`);
    const share = Math.min(1, Math.sqrt(limit / (width * height)));
    const [w, h] = [width, height].map((side) => Math.max(1, Math.floor(side * share)));
    if (Math.min(w, h) < SMALLEST)
      return fail(`${name} is ${size} px${share < 1 ? `, ${w} × ${h} once shrunk` : ''}, and each side must have ${SMALLEST} px: choose a larger one.`);
    const canvas = new OffscreenCanvas(w, h), context = canvas.getContext('2d', { willReadFrequently: true });
    context.fillStyle = '#fff'; // transparency is laid over white, as in Python
    context.fillRect(0, 0, w, h);
    const picture = share < 1 ? await createImageBitmap(image, { resizeWidth: w, resizeHeight: h, resizeQuality: 'high' }) : image;
    context.drawImage(picture, 0, 0, w, h);
    const { data } = context.getImageData(0, 0, w, h);
    if (turn !== taken) return;
    file = { chosen, name };
    first = asked + 1;
    was = shown = undefined;
    for (const id of sliders) $(id).value = 0;
    say();
    $('about').textContent = share < 1
      ? `${name} has ${mega(width * height)} megapixels (${size}); it was shrunk to ${mega(w * h)} (${w} × ${h}) before scoring, which can change its scores.`
      : `${name}, ${size}, scored as it is.`;
    await ready;
    if (turn !== taken) return;
    worker.postMessage({ kind: 'photo', width: w, height: h, data }, [data.buffer]);
    ask();
  } catch {
    if (turn === taken) fail(`${name} is not an image that this browser can read: choose a JPEG, PNG or WebP file.`);
  } finally {
    URL.revokeObjectURL(address);
  }
}

function ask() { // the latest question only: what changes while one is worked on waits for its end
  if (!file) return;
  if (busy) { waiting = true; return; }
  busy = ++asked;
  waiting = false;
  document.body.setAttribute('aria-busy', 'true');
  $('status').textContent = 'Scoring…';
  worker.postMessage({ kind: 'score', id: busy, ...Object.fromEntries(sliders.map((id) => [id, Number($(id).value)])) });
}

function answered(message) {
  busy = 0;
  if (message.id < first) return waiting && ask(); // about the photo before
  shown = message;
  was ??= message.scores;
  $('result').hidden = false;
  const canvas = $('photo');
  canvas.width = message.width; canvas.height = message.height;
  canvas.getContext('2d').putImageData(new ImageData(message.data, message.width), 0, 0);
  draw();
  if (waiting) return ask();
  document.body.removeAttribute('aria-busy');
  $('status').textContent = `Scored ${file.name} in ${message.seconds.toFixed(1)} s: ${model.names[0]} ${message.scores[0].toFixed(2)}.`;
}

function draw() {
  if (!shown) return;
  const { scores, map, dims, width, height } = shown;
  const chosen = [...document.querySelectorAll('#questions input:checked')].map((box) => Number(box.value));
  const changed = scores.some((score, i) => score !== was[i]);
  const pick = (values) => chosen.map((i) => values[i]);
  $('radar').replaceChildren(chosen.length ? radar(pick(model.names), changed ? pick(was) : null, pick(scores)) : 'Choose a question below.');
  $('rows').replaceChildren(...model.names.map((name, i) => {
    const row = document.createElement('tr'), head = document.createElement('th'), texts = document.createElement('small');
    texts.textContent = model.texts[i].join(' / ');
    head.scope = 'row';
    head.append(name, texts);
    const cells = [was[i].toFixed(2), scores[i].toFixed(2), changed ? signed(scores[i] - was[i]) : '–'].map((text) => {
      const cell = document.createElement('td');
      cell.textContent = text;
      return cell;
    });
    row.dataset.score = scores[i];
    row.append(head, ...cells);
    return row;
  }));
  const prompts = (chosen.length ? pick(model.asked) : model.asked).join(', ');
  $('python').textContent = `pyiqa.create_metric('clipiqa', backbone='mini')(${JSON.stringify(file.name)}, prompts=[${prompts}], aggregate=None)`;
  const rows = dims[2], columns = dims[3], of = Number($('map-of').value);
  $('legend').hidden = $('overlay').hidden = $('map-of').value === '';
  if ($('overlay').hidden) return;
  const values = overlay($('overlay'), map.subarray(of * rows * columns, (of + 1) * rows * columns), rows, columns, model.cell, width, height);
  const place = (value) => {
    const at = values.indexOf(value);
    return `${Math.round((100 * ((at % columns) + 0.5)) / columns)} % from the left and ${Math.round((100 * (Math.floor(at / columns) + 0.5)) / rows)} % from the top`;
  };
  const [low, high] = [Math.min(...values), Math.max(...values)];
  $('overlay').setAttribute('aria-label', `Map of ${model.names[of]}: lowest ${low.toFixed(2)}, ${place(low)}; highest ${high.toFixed(2)}, ${place(high)}`);
}

function smaller(said) { // most likely memory: a fresh worker, and half of the pixels
  limit = Math.min(limit, shown ? (shown.width * shown.height) / 2 : limit / 2);
  start();
  if (limit < 1e5) return fail(`This photo could not be scored (${said}): reload the page, or choose a smaller one.`);
  take(file.chosen, file.name);
}

function fail(said) {
  $('error').textContent = said;
  $('error').hidden = false;
  $('status').textContent = shown ? `Still here: ${file.name}.` : '';
}

function say() {
  $('blur-is').textContent = `${Number($('blur').value)} px`;
  $('noise-is').textContent = `σ ${$('noise').value} of 255`;
  $('dark-is').textContent = `${$('dark').value} % less`;
}

// Whether a JPEG ends within its picture, which browsers show as far as it goes, and grey from there.
function isTruncated(bytes) {
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) return false;
  let at = 2;
  while (bytes[at] === 0xff && bytes[at + 1] !== 0xda) at += bytes[at + 1] === 0xff ? 1 : 2 + 256 * bytes[at + 2] + bytes[at + 3];
  for (; at + 1 < bytes.length; at++) if (bytes[at] === 0xff && bytes[at + 1] === 0xd9) return false;
  return true;
}

function mega(pixels) { return (pixels / 1e6).toFixed(1); }
function signed(value) { return `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(2)}`; }
