// What is shown: the page of who is signed in, the signing in, or what a link opens.

import { onSignedOut } from "./api.js";
import { closeDialogs } from "./dialogs.js";
import { takeLink } from "./links.js";
import { openLinksAtOnce } from "./navigation.js";
import { Page } from "./page.js";
import { onSession, takeProvidersAnswer } from "./session.js";
import { toast } from "./toast.js";
import { errorWords, providerWords } from "./words.js";
import { showReset, showVerify } from "./views/account_links.js";
import { showSignIn } from "./views/sign_in.js";
import { waitForAccount } from "./views/starting.js";

const root = document.getElementById("app");
let page = null;
/** Is aborted when something else is to be shown: who still waits for the account then shows nothing. */
let showing = new AbortController();
/** What a link opened is on the page. Its token is nowhere else any more. */
let isLinkOpen = false;

/** Something else is to be shown. Returns the signal that tells when that is over. */
function show() {
  showing.abort();
  showing = new AbortController();
  page?.leave();
  page = null;
  isLinkOpen = false;
  return showing.signal;
}

function enter(account) {
  show(); // another tab's sign-in may have been quicker than this one's
  page = new Page(root, account, { changed: change });
}

function leave() {
  show();
  closeDialogs();
  history.replaceState(null, "", "#/");
  document.title = "CortexAI";
  showSignIn(root, enter);
}

/** Somebody else is signed in now, or nobody (null). */
function change(account) {
  leave();
  if (account) enter(account);
}

/** Opens a link that was mailed or shown. */
function openLink({ kind, token }) {
  if (page) leave();
  document.title = "CortexAI";
  if (kind === "verify") void openVerification(token);
  else if (kind === "reset") openReset(token);
  else openInvite(token);
  isLinkOpen = true;
}

function openReset(token) {
  show();
  showReset(root, token, (told) => {
    isLinkOpen = false;
    if (told) showSignIn(root, enter, { told });
    else void start();
  });
}

function openInvite(token) {
  show();
  showSignIn(root, enter, { invite: token });
}

/** Verifying an address is for who is signed in to the account: others sign in first. */
async function openVerification(token) {
  const signal = show();
  const verify = (account) => showVerify(root, token, account, () => void start());
  const account = await waitForAccount(root, signal);
  if (signal.aborted) return;
  if (account) verify(account);
  else showSignIn(root, verify, { told: "Sign in to confirm your e-mail address. If you sign in by a provider, open the link once more then." });
}

async function start() {
  const signal = show();
  const { refusal, done } = takeProvidersAnswer();
  const account = await waitForAccount(root, signal);
  if (signal.aborted) return;
  if (account) {
    enter(account);
    if (refusal !== null) toast(errorWords(refusal));
    else if (done !== null) toast(providerWords(done));
  } else showSignIn(root, enter, { refusal });
}

// Before the page's own listener: a link is no place of the page. Who goes to a place leaves what a link has opened.
addEventListener("hashchange", () => {
  const link = takeLink();
  if (link) openLink(link);
  else if (isLinkOpen) void start();
});
onSignedOut(() => { if (page) leave(); });
onSession((id) => {
  if (id === (page?.account.id ?? null)) return;
  if (page) leave();
  if (id !== null && !isLinkOpen) void start();
});
openLinksAtOnce();
const opened = takeLink();
if (opened) openLink(opened);
else void start();
