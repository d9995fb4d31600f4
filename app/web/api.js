/** Everything the page asks of the service: requests, the key they carry, and errors as the service words them. */

import { ofTab } from "./storage.js";

const KEY = "polyprune.key";
const KEY_WANTED = "polyprune:key-wanted";
const OUTDATED = "polyprune:outdated";

/** The service said no, or could not be reached. `message` is for the reader; `problem` is the RFC 9457 document. */
export class Problem extends Error {
  /** @param {string} message @param {number} status @param {object} problem */
  constructor(message, status = 0, problem = {}) {
    super(message);
    this.status = status;
    this.problem = problem;
  }
}

/** The API key of this tab, or "". */
export const key = () => ofTab.getItem(KEY) ?? "";

/** Keep a key for this tab alone; "" forgets it. @param {string} value */
export const setKey = (value) => (value ? ofTab.setItem(KEY, value) : ofTab.removeItem(KEY));

/** Call `then` whenever a request was refused for want of a key. @param {() => void} then */
export const onKeyWanted = (then) => addEventListener(KEY_WANTED, then);

/** Call `then` whenever the service is away, or has not the networks any more that it had. @param {() => void} then */
export const onOutdated = (then) => addEventListener(OUTDATED, then);

/** What is known of the service holds no more. */
export const outdated = () => dispatchEvent(new Event(OUTDATED));

/** @returns {Promise<object[]>} the entries of `/v1/models`, refused ones too */
export const models = async () => (await (await ask("/v1/models")).json()).models;

/** @returns {Promise<File>} the frame that the page brings */
export const sample = async () =>
  new File([await (await ask("/web/sample.jpg")).blob()], "sample frame, drawn by a program", { type: "image/jpeg" });

/**
 * Probability of one frame, and what it took.
 * @param {Blob} file an image file @param {{model: string, threshold?: number, peak?: number}} query
 * @param {AbortSignal} [signal]
 * @returns {Promise<{npy: ArrayBuffer, timings: Object<string, number>, model: string, provider: string}>}
 */
export async function probability(file, query, signal) {
  const answer = await segment(file, { ...query, output: "numpy" }, signal);
  return {
    npy: await answer.arrayBuffer(),
    timings: serverTiming(answer.headers.get("Server-Timing") ?? ""),
    model: answer.headers.get("X-Polyprune-Model") ?? query.model,
    provider: answer.headers.get("X-Polyprune-Provider") ?? "",
  };
}

/**
 * The frame as the service decodes it, for files that a browser cannot show. At threshold 1 nothing is tinted but
 * pixels that the network is wholly sure of.
 * @param {Blob} file @returns {Promise<Blob>}
 */
export const decoded = async (file) => (await segment(file, { output: "overlay", threshold: 1 })).blob();

/** @param {FormData} form @returns {Promise<{id: string}>} */
export const startBenchmark = async (form) => (await ask("/benchmark", { method: "POST", body: form })).json();

/** @param {string} id @returns {Promise<object>} */
export const benchmark = async (id) => (await ask(`/benchmark/${encodeURIComponent(id)}`)).json();

/** Benchmarks that are over, newest first. @param {Object<string, string|number>} query @returns {Promise<object>} */
export const benchmarks = async (query) => (await ask(`/benchmark?${new URLSearchParams(query)}`)).json();

/** How ratios developed. @param {string} model @returns {Promise<object[]>} */
export const trends = async (model) => (await (await ask(`/benchmark/trends?${new URLSearchParams({ model })}`)).json()).trends;

/** A benchmark as a file. @param {string} id @param {"csv"|"html"} kind @returns {Promise<Blob>} */
export const exported = async (id, kind) => (await ask(`/benchmark/${encodeURIComponent(id)}.${kind}`)).blob();

/** @param {string} id */
export const deleteBenchmark = (id) => ask(`/benchmark/${encodeURIComponent(id)}`, { method: "DELETE" });

/** Open `WS /v1/stream`. @param {Object<string, string|number>} query @returns {WebSocket} */
export function openStream(query) {
  const url = new URL(`/v1/stream?${new URLSearchParams(query)}`, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url, ["polyprune.v1", ...(key() ? [`polyprune.key.${base64url(key())}`] : [])]);
  socket.binaryType = "arraybuffer";
  return socket;
}

/** `decode;dur=1.2, network;dur=30` -> {decode: 1.2, network: 30}. @param {string} header */
export function serverTiming(header) {
  const stages = header.matchAll(/([\w-]+);dur=([\d.]+)/g);
  return Object.fromEntries([...stages].map(([, name, duration]) => [name, Number(duration)]));
}

function segment(file, query, signal) {
  const headers = { "Content-Type": file.type.startsWith("image/") ? file.type : "application/octet-stream" };
  return ask(`/v1/segment?${new URLSearchParams(query)}`, { method: "POST", body: file, headers, signal });
}

async function ask(path, init = {}) {
  const headers = { ...init.headers, ...(key() && { "X-API-Key": key() }) };
  const answer = await fetch(path, { ...init, headers }).catch((error) => {
    if (error.name === "AbortError") throw error;
    outdated();
    throw new Problem("The service does not answer. Check that it runs and that the network reaches it.");
  });
  if (answer.ok) return answer;
  if (answer.status === 401) dispatchEvent(new Event(KEY_WANTED));
  const problem = await problemOf(answer);
  if (problem.problem.type?.endsWith(":unknown-model")) outdated();
  throw problem;
}

async function problemOf(answer) {
  const document = await answer.json().catch(() => ({}));
  const wait = answer.headers.get("Retry-After");
  const words = document.detail ?? `The service answered ${answer.status} without saying why.`;
  return new Problem(wait ? `${words} Try again in ${wait} s.` : words, answer.status, document);
}

function base64url(text) {
  const bytes = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
