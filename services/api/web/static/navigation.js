// Going from place to place of the page. A place is a hash, such as `#/chats/3`.

/**
 * Opens a place before it returns. A browser tells of a new hash a moment later only, and what is typed in that moment would
 * be said in the chat before. Who listens to `hashchange` hears of both in the same way.
 */
export function goTo(place) {
  if ((location.hash || "#/") !== place) history.pushState(null, "", place);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

/** Has links to places opened so too, unless they are to be opened in another tab. */
export function openLinksAtOnce() {
  addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#/"]');
    if (!link || event.defaultPrevented || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    goTo(link.getAttribute("href"));
  });
}
