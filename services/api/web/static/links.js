// Links that were mailed or shown. Their tokens stand behind the #, which is sent to no server.

const PARAMETERS = { __proto__: null, verify: "token", reset: "token", "sign-up": "invite" };

/**
 * The link that the page was opened with, as `{kind, token}`; null for none. The token is taken out of the address at once:
 * neither the history nor somebody who looks at the screen keeps it.
 */
export function takeLink() {
  const [, kind = "", parameter, token] = /^#\/([a-z-]+)\?([a-z]+)=([\w-]+)$/.exec(location.hash) ?? [];
  if (!token || PARAMETERS[kind] !== parameter) return null;
  history.replaceState(null, "", "#/");
  return { kind, token };
}
