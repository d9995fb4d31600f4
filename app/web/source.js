/** Where frames come from besides files: the clipboard and the camera. */

/** @param {(file: File) => void} then gets an image or a video that was pasted */
export function onPaste(then) {
  addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (!file) return;
    event.preventDefault();
    then(file);
  });
}

const REASONS = {
  NotAllowedError: "The browser did not allow the camera. Allow it for this page beside the address, and try again.",
  NotFoundError: "No camera was found. Connect one, or open a file.",
  NotReadableError: "The camera is used by another program. Close that one, and try again.",
};

const LOST = "The camera gives no picture any more. Connect it again, allow it for this page, and open it once more.";

/**
 * Open the camera.
 * @param {HTMLButtonElement} button asked for it; it waits, since a second camera would never be closed
 * @param {(words: string) => void} lost called where it ends by itself, as when it is unplugged
 * @returns {Promise<MediaStream>}
 * @throws {Error} with words for the reader
 */
export async function openCamera(button, lost) {
  if (!navigator.mediaDevices) {
    throw new Error("Browsers give the camera only to pages that come over https, or from this very machine.");
  }
  button.disabled = true;
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, height: { ideal: 720 } } });
    stream.getVideoTracks()[0].addEventListener("ended", () => lost(LOST));
    return stream;
  } catch (error) {
    throw new Error(REASONS[error.name] ?? `The camera did not open: ${error.message}`);
  } finally {
    button.disabled = false;
  }
}

/** Turn the camera off. @param {?MediaStream} stream */
export const closeCamera = (stream) => stream?.getTracks().forEach((track) => track.stop());

/** What a video shows now, as a JPEG. @param {HTMLVideoElement} video @returns {Promise<File>} */
export async function still(video) {
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 });
  return new File([blob], "camera.jpg", { type: blob.type });
}
