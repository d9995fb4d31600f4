/** What the browser keeps for the page; where it may keep nothing, with cookies blocked, the page itself does, until it is left. */

function keeper(name) {
  try {
    return window[name] ?? standIn();
  } catch {
    return standIn();
  }
}

function standIn() {
  const kept = new Map();
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => kept.set(key, value),
    removeItem: (key) => kept.delete(key),
  };
}

/** For every visit. */
export const lasting = keeper("localStorage");

/** For this tab. */
export const ofTab = keeper("sessionStorage");
