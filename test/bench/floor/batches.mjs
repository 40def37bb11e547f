/** Group commit: what is asked for while a batch is under way is done by the next one. Items of one key never share a batch. */
export class Batches {
  #waiting = [];
  #busy = false;

  constructor(sizeMax, keyOf, work) {
    Object.assign(this, { sizeMax, keyOf, work });
  }

  ask(item) {
    return new Promise((answer, fail) => {
      this.#waiting.push({ item, answer, fail });
      if (this.#waiting.length === 1) setImmediate(() => this.#next());
    });
  }

  #next() {
    if (this.#busy || this.#waiting.length === 0) return;
    this.#busy = true;
    const batch = this.#take();
    this.work(batch.map(({ item }) => item))
      .then(
        (answers) => batch.forEach(({ answer, fail }, place) => settle(answers[place], answer, fail)),
        (error) => batch.forEach(({ fail }) => fail(error)),
      )
      .finally(() => {
        this.#busy = false;
        this.#next();
      });
  }

  #take() {
    const keys = new Set();
    const batch = [];
    const left = [];
    for (const one of this.#waiting) {
      const key = this.keyOf?.(one.item);
      const fits = batch.length < this.sizeMax && (key === undefined || !keys.has(key));
      if (key !== undefined) keys.add(key);
      (fits ? batch : left).push(one);
    }
    this.#waiting = left;
    return batch;
  }
}

function settle(value, answer, fail) {
  if (value === undefined) fail(new Error('not the good case'));
  else answer(value);
}
