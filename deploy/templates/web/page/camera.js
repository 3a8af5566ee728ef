// The camera: one frame after another, each when the one before is done.

// Returns what stops it; `ended` is called then, and when the camera goes away.
export function frames(stream, show, ended) {
  const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true, srcObject: stream });
  let running = true;
  const stop = () => {
    if (!running) return;
    running = false;
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
    ended();
  };
  for (const track of stream.getTracks()) track.addEventListener("ended", stop);
  const next = async () => {
    if (!running) return;
    if (video.videoWidth && !document.hidden) await show(video);
    requestAnimationFrame(next);
  };
  video.play().then(next, stop);
  return stop;
}
