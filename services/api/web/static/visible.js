// Text of strangers that somebody decides by: what would turn it around or hide in it is shown by its number.

/**
 * Controls, format characters and all that nobody sees, as in shared/visible_text.py; also the joiners of an emoji. Not tabs
 * and ends of lines, which are seen by what they do, nor the signs that Arabic and others write before a number.
 */
const HIDDEN = /\r(?!\n)|(?![\t\n\r\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u{110bd}\u{110cd}])[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}\u2028\u2029\u2800\ufff9-\ufffb\u{1d159}]/gu;

/** The text with `⟨U+202E⟩` in place of each character that is not seen, or that changes the order of others. */
export function visible(text) {
  return text.replace(HIDDEN, (character) => `⟨U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

/** The text, visible, with at most so many characters of the original. */
export function brief(text, most = 60) {
  return visible(text.length > most ? `${text.slice(0, most)} …` : text);
}
