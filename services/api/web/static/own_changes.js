// What this page changes in a chat, and in which order.

export class OwnChanges {
  #line = Promise.resolve();
  #underWay = 0;
  #begun = 0;
  #onEnd;

  /** `onEnd()` is called when no change is under way any more. */
  constructor(onEnd) {
    this.#onEnd = onEnd;
  }

  /** Whether a change is under way. What is read meanwhile may lack that change, or tell it twice. */
  get areUnderWay() {
    return this.#underWay > 0;
  }

  /** How many changes have begun. What was read while this number rose may be older than a change. */
  get begun() {
    return this.#begun;
  }

  /** Resolves when all that was to be done in turn has been done. */
  get allDone() {
    return this.#line;
  }

  /** Does `action`, which changes the chat. */
  async make(action) {
    this.#underWay += 1;
    this.#begun += 1;
    try {
      return await action();
    } finally {
      this.#underWay -= 1;
      if (this.#underWay === 0) setTimeout(this.#onEnd); // after the caller has noted what was accepted
    }
  }

  /** Does `action` after what was to be done in turn before: messages come in the order in which they were said. */
  makeInTurn(action) {
    return this.make(() => {
      const turn = this.#line.then(action);
      this.#line = turn.catch(() => {});
      return turn;
    });
  }
}
