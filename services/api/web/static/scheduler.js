// Rendering in small steps: a frame has 16 ms, of which this takes about half, however much there is to do.

const BUDGET_MS = 8;
/** Between two renderings of a part that grows. Text that changes more often can't be read anyway. */
const INTERVAL_MS = 50;

const busy = new Set();
const afterwards = new Set();
let planned = false;
let last = 0;

/** Calls `work.step()` from now on, once a frame or oftener, until it returns false. */
export function plan(work) {
  busy.add(work);
  wake();
}

/** Something was shown without a plan: who listens to `onRendered` is told. */
export function rendered() {
  plan({ step: () => false });
}

/** Calls `listener` after each frame in which something was rendered, until `signal` is aborted. */
export function onRendered(listener, signal) {
  afterwards.add(listener);
  signal.addEventListener("abort", () => afterwards.delete(listener));
}

function wake() {
  if (planned) return;
  planned = true;
  const wait = INTERVAL_MS - (performance.now() - last);
  if (wait > 0) setTimeout(() => requestAnimationFrame(run), wait);
  else requestAnimationFrame(run);
}

function run() {
  const began = performance.now();
  try {
    for (const work of [...busy]) {
      busy.delete(work); // work that throws is over; all other work goes on
      let goesOn = true;
      while (goesOn && performance.now() - began < BUDGET_MS) goesOn = work.step();
      if (goesOn) busy.add(work);
    }
    for (const listener of afterwards) listener();
  } finally {
    planned = false;
    const took = performance.now() - began;
    // What takes long is done less often: at least three quarters of the time are the reader's.
    last = busy.size > 0 ? performance.now() - INTERVAL_MS + took : performance.now() + 3 * Math.max(0, took - BUDGET_MS);
    if (busy.size > 0) wake();
  }
}
