// Spoils a photo and scores it, away from the page, which stays usable.
import * as ort from './ort/ort.wasm.min.mjs';

ort.env.wasm.wasmPaths = new URL('./ort/', import.meta.url).href;
ort.env.wasm.numThreads = 1; // more need headers that a plain web server does not send
const session = ort.InferenceSession.create(new URL('./mini.onnx', import.meta.url).href, { executionProviders: ['wasm'] });
session.then(() => postMessage({ kind: 'ready' }), (error) => postMessage({ kind: 'broken', said: String(error) }));

let photo; // {width, height, data}: RGBA bytes, as they were

onmessage = async ({ data: message }) => {
  if (message.kind === 'photo') { photo = message; return; }
  try {
    const start = performance.now();
    const data = spoiled(photo, message);
    const { width, height } = photo;
    const { scores, map } = await (await session).run({ image: tensor(data, width, height) });
    const reply = { kind: 'scores', id: message.id, width, height, data, scores: scores.data, map: map.data, dims: map.dims };
    postMessage({ ...reply, seconds: (performance.now() - start) / 1000 }, [data.buffer]);
  } catch (error) {
    postMessage({ kind: 'failed', id: message.id, said: String(error) });
  }
};

function tensor(data, width, height) {
  const plane = width * height, image = new Float32Array(3 * plane);
  for (let i = 0; i < plane; i++) for (let c = 0; c < 3; c++) image[c * plane + i] = data[4 * i + c] / 255;
  return new ort.Tensor('float32', image, [1, 3, height, width]);
}

// Gaussian blur (standard deviation in pixels), then light (factor), then Gaussian noise (standard deviation of 255).
function spoiled({ width, height, data }, { blur, noise, dark }) {
  let out = new Uint8ClampedArray(data);
  if (blur > 0) out = blurred(out, width, height, blur);
  const light = 1 - dark / 100, random = gaussian(7);
  if (dark > 0 || noise > 0)
    for (let i = 0; i < out.length; i++)
      if (i % 4 !== 3) out[i] = out[i] * light + (noise > 0 ? noise * random() : 0); // rounds and stays in 0 to 255
  return out;
}

function blurred(data, width, height, sigma) {
  const reach = Math.ceil(3 * sigma), kernel = Array.from({ length: 2 * reach + 1 }, (_, i) => Math.exp(-((i - reach) ** 2) / (2 * sigma ** 2)));
  const sum = kernel.reduce((a, b) => a + b), out = new Uint8ClampedArray(data.length), across = new Float32Array(data.length);
  pass(data, across, width, height, 4, 4 * width);
  pass(across, out, height, width, 4 * width, 4);
  for (let i = 3; i < out.length; i += 4) out[i] = 255;
  return out;
  function pass(from, to, length, lines, step, line) { // edges repeat
    for (let l = 0; l < lines; l++)
      for (let p = 0; p < length; p++)
        for (let c = 0; c < 3; c++) {
          let value = 0;
          for (let k = -reach; k <= reach; k++) value += kernel[k + reach] * from[l * line + Math.min(length - 1, Math.max(0, p + k)) * step + c];
          to[l * line + p * step + c] = value / sum;
        }
  }
}

function gaussian(seed) { // Box and Muller's, on the generator mulberry32: the same noise every time
  let state = seed, spare;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return () => {
    if (spare !== undefined) { const value = spare; spare = undefined; return value; }
    const size = Math.sqrt(-2 * Math.log(1 - uniform())), angle = 2 * Math.PI * uniform();
    spare = size * Math.sin(angle);
    return size * Math.cos(angle);
  };
}
