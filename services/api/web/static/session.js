// Who is signed in. The credential is a cookie that scripts can't read.

import { Refused, Unreachable, below, call, send, tellSignedOut } from "./api.js";

/** Characters of a place to which the API leads back. */
const LONGEST_PLACE = 500;
/** What a page may offer whose API could not be asked: what every API can do. */
const UNKNOWN_OPTIONS = { signup: "open", mail: false, password: true, providers: [] };

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

/**
 * Makes an account, signs in, and returns it. `invite` is the token of an invite's link; "" for none.
 *
 * Throws Refused: `email_taken`, `validation_failed`, `invite_invalid`, `password_too_common` and its like.
 */
export async function signUp(email, password, invite = "") {
  await call("POST", "/api/auth/signup", { body: { email, password, ...(invite && { invite }) } });
  return signIn(email, password);
}

/** By which ways people get in and make accounts here, as `{signup, mail, password, providers}`. */
export async function findOptions() {
  try {
    return await call("GET", "/api/auth/options");
  } catch (error) {
    if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
    return UNKNOWN_OPTIONS;
  }
}

/** The address that leads to a provider, and from there back to this place of the page. */
export function loginAddress(provider) {
  return below(`/api/auth/oidc/${provider}/login?return_to=${encodeURIComponent(thisPlace())}`);
}

/**
 * Leaves the page for a provider, who leads back to this place: `kind` is `link`, so that the identity there belongs to the
 * account, or `reauthenticate`, so that who is signed in proves it. Throws as `call` does.
 */
export async function goToProvider(provider, kind) {
  const { url } = await call("POST", `/api/auth/oidc/${provider}/${kind}`, { body: { return_to: thisPlace(`?oidc_done=${kind}`) } });
  location.assign(url);
}

function thisPlace(query = "") {
  const place = `/${query}${location.hash}`;
  return place.length > LONGEST_PLACE ? `/${query}` : place;
}

/**
 * What has come of the way to a provider, once, as `{refusal, done}`: a code that says why it has led to nothing, or what
 * it was taken for. Both are null where nothing is to be told.
 */
export function takeProvidersAnswer() {
  const told = new URLSearchParams(location.search);
  const refusal = told.get("oidc_error");
  const done = refusal === null ? told.get("oidc_done") : null;
  if (refusal !== null || done !== null) history.replaceState(null, "", location.pathname + location.hash);
  return { refusal, done };
}

/** Has a link mailed that sets a new password, if an account has this address. */
export async function askForReset(email) {
  await send("POST", "/api/auth/password/forgot", { body: { email } });
}

/** Has a link mailed that verifies the address of who is signed in. */
export async function sendVerification() {
  await send("POST", "/api/auth/verify-email/send");
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
