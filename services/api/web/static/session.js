// Who is signed in. The credential is a cookie that scripts can't read.

import { Refused, Unreachable, below, call, tellSignedOut } from "./api.js";

/** Characters of a place to which the API leads back. */
const LONGEST_PLACE = 500;

const channel = new BroadcastChannel("cortexai-session");

/** The account that is signed in; null when nobody is. Throws what `call` throws when that can't be told. */
export async function findAccount() {
  try {
    return await call("GET", "/api/auth/me");
  } catch (error) {
    if (error instanceof Refused && error.status === 401) return null;
    throw error;
  }
}

/**
 * Signs in, and returns the account. `code` is one of the second factor, or a recovery code.
 *
 * Throws Refused: `credentials_invalid`; `second_factor_required` and `code_invalid` where the password is right.
 */
export async function signIn(email, password, code = "") {
  const account = await call("POST", "/api/auth/login", { body: { email, password, cookie: true, ...(code && { code }) } });
  channel.postMessage(account.id);
  return account;
}

/** Makes an account, signs in, and returns it. Throws Refused: `email_taken`, `validation_failed`, `password_too_common` and its like. */
export async function signUp(email, password) {
  await call("POST", "/api/auth/signup", { body: { email, password } });
  return signIn(email, password);
}

/** By which ways people get in, as `GET /api/auth/options` tells; by a password alone where that can't be told. */
export async function findOptions() {
  try {
    return await call("GET", "/api/auth/options");
  } catch (error) {
    if (error instanceof Refused || error instanceof Unreachable) return { password: true, providers: [] };
    throw error;
  }
}

/** The address that leads to a provider, and from there back to this place of the page. */
export function loginAddress(provider) {
  const place = `/${location.hash}`;
  return below(`/api/auth/oidc/${provider}/login?return_to=${encodeURIComponent(place.length > LONGEST_PLACE ? "/" : place)}`);
}

/** Why the way back from a provider has led to nothing: a code, once; null where nothing is to be told. */
export function takeLoginError() {
  const code = new URLSearchParams(location.search).get("oidc_error");
  if (code !== null) history.replaceState(null, "", location.pathname + location.hash);
  return code;
}

/** Signs out. */
export async function signOut() {
  await call("POST", "/api/auth/logout");
  left();
}

/** Deletes the account. Throws Refused: `reauthentication_required`. */
export async function deleteAccount() {
  await call("DELETE", "/api/auth/me");
  left();
}

/** Whether an account has a password. All have one where the API does not tell. */
export function hasPassword(account) {
  return account.has_password ?? true;
}

function left() {
  channel.postMessage(null);
  tellSignedOut();
}

/** Calls `listener` when another tab signs in or out, with the id of the account that is signed in now, or null. */
export function onSession(listener) {
  channel.onmessage = ({ data }) => listener(data);
}
