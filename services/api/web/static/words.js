// What statuses and error codes say to people. Source: docs/protocol.md, error codes.
// What others name is looked up in objects without a prototype, which have no names but their own.

const ERRORS = {
  __proto__: null,
  account_disabled: "An administrator keeps this account out.",
  admin_only: "Only admins may do this.",
  change_too_large: "This change has too many rows to be shown and approved at once. Make it smaller.",
  chat_not_found: "This chat does not exist any more.",
  code_invalid: "This code is not right, or was used before. Wait for the next one.",
  code_mismatch: "This code is not right, or was used before. Wait for the next one.",
  cookie_needs_https: "Signing in needs https here. The operator can allow plain http (COOKIES_OVER_HTTP).",
  credentials_invalid: "The e-mail address or the password is not right.",
  data_source_key_missing: "The operator has lost the key to this database's address. Enter the address anew, or tell the operator.",
  data_source_not_found: "This database is not connected any more.",
  data_source_unreachable: "The database can't be reached. Check its address, and that it accepts connections from here.",
  data_sources_off: "Databases are switched off here. The operator can switch them on (DATA_SOURCE_KEYS).",
  effect_changed: "The data has changed since the preview. Nothing was changed.",
  email_already_verified: "Your e-mail address is confirmed already.",
  email_taken: "There is an account with this e-mail address already. Sign in instead.",
  generation_in_progress: "This chat is answering right now. Stop the answer first, or wait.",
  identity_email_unverified: "The provider does not vouch for your e-mail address, so it can't tell which account is yours.",
  identity_invalid: "What the provider says of you could not be verified. Try again, or tell the operator.",
  identity_mismatch: "This is not the identity of the account that is signed in.",
  identity_not_fresh: "The provider does not say that you have just signed in there. Sign in there again. If that does not help, sign out and set a password by “Forgot your password?”.",
  identity_not_linked: "There is an account with your e-mail address already. Sign in to it with its password, and verify the address or link the provider there.",
  identity_taken: "This identity belongs to another account.",
  invite_invalid: "This invite has ended, was used already, or is for another e-mail address.",
  invite_not_found: "This invite was used, or is not there any more.",
  invite_required: "An account is made here by invite. Open the link of yours.",
  key_not_found: "This key is not there any more.",
  last_way_in: "Without this you could not sign in any more.",
  link_invalid: "This link has ended, or was used already. Ask for another one.",
  login_from_elsewhere: "Another site has begun this sign-in. If you want to sign in, do so here.",
  login_state_invalid: "This sign-in was not begun in this browser, or took too long. Try again.",
  memory_changed: "The memory has changed in the meantime. Here is the newest one.",
  memory_too_large: "The memory has no room for this. Shorten or forget something first.",
  message_not_found: "This message does not exist any more.",
  model_auth_failed: "The model refused this service's key. The operator has to mend this.",
  model_bad_response: "The model broke off in the middle of its answer.",
  model_not_available: "The model is not there any more. The operator has to choose another one.",
  model_rate_limited: "The model is over its limits. Try again in a moment.",
  model_rejected: "The model refused the request.",
  model_said_nothing: "The model gave an empty answer. Try again.",
  model_timeout: "The model took too long.",
  model_tool_call_failed: "The model could not use its tools. Try again.",
  model_unavailable: "The model can't be reached. Try again in a moment.",
  not_undoable: "This can't be undone.",
  operation_not_found: "This operation is not there any more.",
  operation_not_pending: "This has been decided already, here or elsewhere.",
  origin_not_allowed: "This address is not allowed to sign in. The operator can allow it in BACKEND_CORS_ORIGINS.",
  own_account: "This is your own account. Another admin can do this.",
  password_is_the_email: "This password is your e-mail address or a part of it. Choose another one.",
  password_is_the_product: "This password is the name of this product. Choose another one.",
  password_login_off: "Passwords are not taken here. Sign in by one of the providers.",
  password_mismatch: "The password is not right.",
  password_too_common: "Many people use this password, so it is the first that others try. Choose another one.",
  password_unchanged: "This is the password that you have. Choose another one.",
  preview_mismatch: "The preview has changed. Look at it again before you approve.",
  prompt_too_long: "This message is too long for the model. Send a shorter one.",
  provider_refused: "The provider did not sign you in.",
  provider_unavailable: "The provider does not answer. Try again in a while.",
  queue_full: "Many people are waiting for answers. Try again in a moment.",
  quota_exceeded: "Your tokens for today are used up. There are new ones after midnight, UTC.",
  reauthentication_required: "Enter your password again: you signed in too long ago for this.",
  scope_not_allowed: "Only admins can make keys that administer.",
  second_factor_absent: "There is no second factor to use here.",
  second_factor_off: "Second factors are switched off here. The operator can switch them on (DATA_SOURCE_KEYS).",
  second_factor_present: "There is a second factor already. Switch that one off first.",
  second_factor_required: "Enter the code that your authenticator app shows, or a recovery code.",
  second_factor_unavailable: "Codes can't be checked right now. Enter a recovery code, or tell the operator.",
  session_not_found: "This session has ended already.",
  signup_closed: "Nobody can make an account here.",
  too_busy: "The server is busy. Try again in a moment.",
  too_many_data_sources: "You have as many databases as are allowed. Delete one first.",
  too_many_generations: "Too many of your answers are being written at once. Wait for one of them.",
  too_many_streams: "Too many answers are being read at once, in all your windows. Close one of them.",
  too_many_identities: "You have as many identities as are allowed. Remove one first.",
  too_many_invites: "There are as many invites as are allowed. Take one back first.",
  too_many_keys: "You have as many keys as are allowed. Delete one first.",
  too_many_mails: "Too many mails were asked for. Look into your mail, also among the spam, or try again later.",
  too_many_operations: "Too many changes wait for your decision. Decide some of them first.",
  too_many_requests: "You have done this too often. Try again in a minute.",
  too_many_signups: "Too many accounts were made from your network. Try again later.",
  too_many_tries: "Too many wrong passwords or codes were tried. Try again later.",
  user_not_found: "This user is not there any more.",
  worker_lost: "The answer was lost three times. Try again.",
};

/** An error in words. An error without a known code says what the server says. */
export function errorWords(code, fallback) {
  return ERRORS[code] ?? (fallback || "Something went wrong.");
}

/** What was done on the way to a provider and back. */
export function providerWords(done) {
  return done === "link" ? "The provider is linked to your account." : "You have proved who you are. Repeat now what you wanted to do.";
}

/** What an exception says to a person. */
export function exceptionWords(error) {
  return error.code === undefined ? "The server can't be reached. Try again." : errorWords(error.code, error.message);
}

/** What is being done for an answer of which nothing has come yet (`data-status`). */
export function progressWords(progress) {
  switch (progress?.status) {
    case "queued":
      return progress.position ? `Waiting for a free worker: place ${progress.position} in the queue` : "Waiting for a free worker";
    case "waiting":
      return "Waiting for the answer before";
    case "searching":
      return "Searching the web";
    case "retrying":
      return `The model did not answer. Asking ${progress.model ?? "again"} in ${Math.ceil(progress.seconds ?? 0)} s`;
    case "summarizing":
      return "Summarizing the beginning of this chat";
    case "trimmed":
      return `The oldest ${progress.messages} messages do not fit, and are left out`;
    default:
      return "Thinking";
  }
}

const TOOLS = {
  __proto__: null,
  chat_rename: "Renaming of a chat",
  chats_delete: "Proposal to delete chats",
  chats_search: "Search of your chats",
  current_time: "Current time",
  db_propose_write: "Proposal of a change",
  db_query: "Database query",
  db_schema: "Tables of a database",
  db_sources: "Your databases",
  search_history: "Search of this chat",
  web_search: "Web search",
};

/** A tool's name, for people. */
export function toolWords(name) {
  return TOOLS[name] ?? name.replaceAll("_", " ");
}

const KINDS = {
  __proto__: null,
  identity: "Identity", health: "Health", preference: "Preference", instruction: "Instruction", decision: "Decision",
  relation: "Relation", date: "Date", number: "Number", place: "Place", other: "Other",
};

/** A fact's kind, for people. */
export function factKindWords(kind) {
  return KINDS[kind] ?? kind;
}

const SOURCES = { __proto__: null, user: "you said it", assistant: "the assistant said it", web: "from a web page", edited: "you wrote it" };

/** Who said a fact. */
export function sourceWords(source) {
  return SOURCES[source] ?? source;
}

/** A number with thousands apart, as this reader writes it. */
export function count(number) {
  return new Intl.NumberFormat().format(number);
}

/** A date (ISO 8601), in the reader's way. */
export function day(text) {
  return new Date(text.length === 10 ? `${text}T12:00:00` : text).toLocaleDateString(undefined, { year: "numeric", month: "short", day: "numeric" });
}
