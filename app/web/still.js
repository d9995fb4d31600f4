/** A single frame from the camera: a live preview, and a button that takes what it shows. */

import { $, say } from "./dom.js";
import { closeCamera, openCamera, still } from "./source.js";

let stream = null;

/** @param {(file: File) => void} take gets the frame */
export function start(take) {
  $("camera").addEventListener("click", open);
  $("leave").addEventListener("click", close);
  $("take").addEventListener("click", async () => {
    const file = await still(video());
    close();
    take(file);
  });
}

const video = () => $("preview").querySelector("video");

async function open() {
  say($("frame-error"));
  close();
  try {
    stream = await openCamera($("camera"));
    video().srcObject = stream;
    $("take").disabled = true; // until there is a picture to take
    $("preview").hidden = false;
    await video().play();
    $("take").disabled = false;
    $("take").focus();
  } catch (error) {
    close();
    say($("frame-error"), error.message);
  }
}

function close() {
  closeCamera(stream);
  stream = null;
  video().srcObject = null;
  $("preview").hidden = true;
}
