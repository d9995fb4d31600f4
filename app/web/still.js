/** A single frame from the camera: a live preview, and a button that takes what it shows. */

import { $, say } from "./dom.js";
import { closeCamera, openCamera, still } from "./source.js";

let stream = null;
let turn = 0; // of the preview: a camera that opens after it was closed is closed too

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
  const mine = turn;
  try {
    const opened = await openCamera($("camera"), fail);
    if (mine !== turn) return closeCamera(opened);
    video().srcObject = stream = opened;
    $("take").disabled = true; // until there is a picture to take
    $("preview").hidden = false;
    await video().play();
    $("take").disabled = false;
    $("take").focus();
  } catch (error) {
    if (mine === turn) fail(error.message);
  }
}

function fail(words) {
  close();
  say($("frame-error"), words);
}

/** Turn the camera off, if it is on. */
export function close() {
  turn += 1;
  closeCamera(stream);
  stream = null;
  video().srcObject = null;
  $("preview").hidden = true;
}
