// Text of strangers that somebody decides by: what would turn it around or hide in it is shown by its number.

const HIDDEN = /\r(?!\n)|[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\u{e0000}-\u{e007f}]/gu;

/** The text with `⟨U+202E⟩` in place of each character that is not seen, or that changes the order of others. */
export function visible(text) {
  return text.replace(HIDDEN, (character) => `⟨U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

/** The text, visible, with at most so many characters of the original. */
export function brief(text, most = 60) {
  return visible(text.length > most ? `${text.slice(0, most)} …` : text);
}
