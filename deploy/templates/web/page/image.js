// From an image of any size to what the model takes. In training Pillow's BILINEAR resized: a triangle filter as wide as
// the reduction, on bytes. A browser's own resize is another filter, in each browser; this one keeps to one grey level.

const LARGEST_SIDE = 4096; // of a canvas that every browser has; larger photographs are reduced by the browser before

// RGBA bytes of an ImageBitmap, a video or a canvas.
export function pixelsOf(image) {
  const [fullWidth, fullHeight] = [image.videoWidth ?? image.width, image.videoHeight ?? image.height];
  const reduction = Math.max(1, fullWidth / LARGEST_SIDE, fullHeight / LARGEST_SIDE);
  const [width, height] = [Math.round(fullWidth / reduction), Math.round(fullHeight / reduction)];
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

// Where the largest centred part with the ratio of the model's input lies.
export function centre(width, height, spec) {
  const scale = Math.min(width / spec.width, height / spec.height);
  const [used, usedHeight] = [scale * spec.width, scale * spec.height];
  return { left: (width - used) / 2, top: (height - usedHeight) / 2, width: used, height: usedHeight };
}

// That part in the model's resolution: one plane of height x width bytes for each channel.
export function resized({ data, width, height }, spec) {
  const part = centre(width, height, spec);
  return Array.from({ length: spec.channels }, (_, channel) => {
    const plane = spec.channels === 1 ? luma(data) : colour(data, channel);
    const columns = resizedRows(plane, height, width, part.left, part.width, spec.width);
    return resizedRows(columns, spec.width, height, part.top, part.height, spec.height);
  });
}

// The bytes normalised, in the order that the model takes.
export function values(planes, spec, layout) {
  const size = spec.height * spec.width;
  const result = new Float32Array(planes.length * size);
  planes.forEach((plane, channel) => {
    const [start, step] = layout === "NHWC" ? [channel, planes.length] : [channel * size, 1];
    plane.forEach((pixel, i) => {
      result[start + i * step] = (pixel * spec.scale - spec.mean) / spec.std;
    });
  });
  return result;
}

function colour(data, channel) {
  const plane = new Uint8ClampedArray(data.length / 4);
  for (let i = 0; i < plane.length; i += 1) plane[i] = data[4 * i + channel];
  return plane;
}

// Luma (ITU-R 601), rounded as Pillow does.
function luma(data) {
  const plane = new Uint8ClampedArray(data.length / 4);
  for (let i = 0; i < plane.length; i += 1)
    plane[i] = (data[4 * i] * 19595 + data[4 * i + 1] * 38470 + data[4 * i + 2] * 7471 + 32768) >> 16;
  return plane;
}

// Resizes the part of each row of `plane`, rows x size, that begins at `start` and is `used` long. Returns the transpose,
// newSize x rows, so that a second call does the columns.
function resizedRows(plane, rows, size, start, used, newSize) {
  const scale = used / newSize;
  const support = Math.max(scale, 1);
  const result = new Uint8ClampedArray(newSize * rows);
  for (let i = 0; i < newSize; i += 1) {
    const middle = start + (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(middle - support + 0.5));
    const last = Math.min(size, Math.trunc(middle + support + 0.5));
    const weights = Float64Array.from({ length: last - first }, (_, k) =>
      Math.max(0, 1 - Math.abs(first + k + 0.5 - middle) / support),
    );
    const total = weights.reduce((sum, weight) => sum + weight);
    for (let row = 0; row < rows; row += 1) {
      let sum = 0;
      for (let k = 0; k < weights.length; k += 1) sum += weights[k] * plane[row * size + first + k];
      result[i * rows + row] = Math.trunc(sum / total + 0.5);
    }
  }
  return result;
}
