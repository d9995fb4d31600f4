/** The client's side of `WS /v1/stream`: sends frames, keeps them until their answer, and connects again. */

import * as api from "./api.js";

const IN_FLIGHT = 2; // one that is worked on, and one that is on its way
const ATTEMPTS = 5;
const GONE = 1001;
const LOST = 1006;
const RESTART = 1012;
const IDLE = 4408;

/**
 * @typedef {object} Events
 * @property {(answer: {header: object, mask: Blob, frame: CanvasImageSource, latency: number}) => void} answered
 *   latency in ms, from the frame's drawing to its answer
 * @property {(words: string) => void} state what goes on
 * @property {(words: string) => void} problem what went wrong; the stream may go on
 * @property {() => void} ended for good
 */

export class Stream {
  #query;
  #on;
  #socket = null;
  #waiting = new Map(); // sequence number -> {frame, since}
  #next = 0;
  #encoding = 0;
  #attempts = 0;
  #paused = false; // for want of frames: connected again with the next
  #stopped = false;

  /** @param {() => object} query of each connection @param {Events} on */
  constructor(query, on) {
    this.#query = query;
    this.#on = on;
    this.#connect();
  }

  /** There is a frame: connect again, if the service closed the stream because none came. */
  wake() {
    if (this.#paused) this.#connect();
  }

  /** Whether another frame may be sent now. */
  get free() {
    const open = this.#socket.readyState === WebSocket.OPEN;
    return open && this.#waiting.size + this.#encoding < IN_FLIGHT;
  }

  /** Send a frame as a JPEG. @param {OffscreenCanvas} frame is kept, and must not be drawn on again */
  async send(frame) {
    const socket = this.#socket;
    const since = performance.now();
    this.#encoding += 1;
    const blob = await frame.convertToBlob({ type: "image/jpeg", quality: 0.85 });
    const bytes = await blob.arrayBuffer();
    this.#encoding -= 1;
    if (socket.readyState !== WebSocket.OPEN) return;
    socket.send(bytes);
    this.#waiting.set(this.#next++, { frame, since });
  }

  /** Change `threshold`, `peak` or `smooth` from the next frame on. @param {object} settings */
  change(settings) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(settings));
  }

  /** Close it for good. */
  stop() {
    this.#stopped = true;
    this.#socket.close(1000);
  }

  #connect() {
    this.#paused = false;
    this.#waiting.clear();
    this.#next = 0;
    this.#on.state("Connecting…");
    this.#socket = api.openStream(this.#query());
    this.#socket.onopen = () => this.#on.state("Connected; waiting for the first mask.");
    this.#socket.onmessage = ({ data }) => (typeof data === "string" ? this.#word(JSON.parse(data)) : this.#answer(data));
    this.#socket.onclose = (event) => this.#closed(event);
  }

  #answer(buffer) {
    if (this.#stopped) return;
    const length = new DataView(buffer).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    const mask = new Blob([new Uint8Array(buffer, 4 + length)], { type: "image/png" });
    const sent = this.#take(header.sequence);
    this.#attempts = 0;
    if (sent) this.#on.answered({ header, mask, frame: sent.frame, latency: performance.now() - sent.since });
  }

  #word({ sequence, error }) {
    if (!error) return;
    this.#take(sequence);
    this.#on.problem(error.detail ?? error.title);
  }

  /** The frame of this number; those before it were dropped, and get no answer any more. */
  #take(sequence) {
    const sent = this.#waiting.get(sequence);
    for (const number of this.#waiting.keys()) if (number <= sequence) this.#waiting.delete(number);
    return sent;
  }

  async #closed({ code, reason }) {
    if (this.#stopped) return;
    if (code === IDLE) {
      this.#paused = true;
      this.#on.state("Paused: it goes on with the next frame.");
      return;
    }
    const again = [GONE, LOST, RESTART].includes(code) && (await this.#admitted());
    if (this.#stopped) return;
    if (again && this.#attempts < ATTEMPTS) {
      const seconds = 2 ** this.#attempts++;
      const cause = { [GONE]: "The service stops", [RESTART]: "The service restarts" }[code] ?? "The connection is lost";
      this.#on.state(`${cause}: attempt ${this.#attempts} of ${ATTEMPTS} in ${seconds} s.`);
      setTimeout(() => this.#stopped || this.#connect(), 1000 * seconds);
      return;
    }
    this.#stopped = true;
    api.outdated();
    if (reason) this.#on.problem(`The service ended the stream: ${reason}`);
    else if (again) this.#on.problem("The stream could not be opened again. Check that the service runs, and start once more.");
    this.#on.ended();
  }

  /** A browser does not say why a socket was refused: a request tells, and asks for the key where one is wanted. */
  async #admitted() {
    try {
      await api.models();
      return true;
    } catch (error) {
      if (error.status !== 401) return true;
      this.#on.problem(error.message);
      return false;
    }
  }
}
