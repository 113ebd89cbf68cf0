// Pixels as a canvas gives them, {width, height, data: RGBA bytes}, to scores. In a browser as in node.
import * as ort from 'onnxruntime-web/wasm';
ort.env.wasm.numThreads = 1; // more need a cross-origin isolated page

export const load = (model) => ort.InferenceSession.create(model); // an address, or the file's bytes

export async function score(session, { width, height, data }) {
  const image = new Float32Array(3 * width * height); // (1, 3, H, W), RGB in [0, 1]
  for (let i = 0, plane = width * height; i < plane; i++)
    for (let c = 0; c < 3; c++) image[c * plane + i] = data[4 * i + c] / 255;
  const { scores } = await session.run({ image: new ort.Tensor('float32', image, [1, 3, height, width]) }, ['scores']);
  return Array.from(scores.data);
}
