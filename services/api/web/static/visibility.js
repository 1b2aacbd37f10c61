// Whether the page is seen. One that is hidden keeps no stream open: over HTTP/1.1, all tabs together have six connections.

/** Whether the page is in the background. */
export function isHidden() {
  return document.visibilityState === "hidden";
}

/** Calls `listener` whenever the page is shown or hidden, until `signal` is aborted. */
export function onVisibility(listener, signal) {
  document.addEventListener("visibilitychange", listener, { signal });
}

/** Waits until the page is shown. Ends when `signal` is aborted, too. */
export function untilShown(signal) {
  return new Promise((resolve) => {
    const ended = new AbortController();
    const look = () => {
      if (isHidden() && !signal.aborted) return;
      ended.abort();
      resolve();
    };
    onVisibility(look, ended.signal);
    signal.addEventListener("abort", look, { signal: ended.signal });
    look();
  });
}

/** A signal that is aborted when the page is hidden, or `signal` is aborted. */
export function whileShown(signal) {
  const controller = new AbortController();
  const any = AbortSignal.any([signal, controller.signal]);
  const look = () => { if (isHidden()) controller.abort(); };
  onVisibility(look, any);
  look();
  return any;
}
