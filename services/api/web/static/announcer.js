// Tells a screen reader what has happened, after what it is saying now.

const MOST_CHARS = 1_500;

/** Says a text. A long one is cut: it can be read in its place. */
export function announce(text) {
  const region = document.getElementById("announcer");
  region.textContent = "";
  const words = text.length > MOST_CHARS ? `${text.slice(0, MOST_CHARS)} …` : text;
  // A region that is emptied and filled at once may be taken for unchanged.
  setTimeout(() => { region.textContent = words; }, 50);
}
